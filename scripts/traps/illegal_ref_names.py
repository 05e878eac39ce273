"""Ids that are perfectly good names are not legal refs, so refs are named by hashes."""

import pygit2

NAMES = [
    "build-42",
    "a..b",
    "web.lock",
    "x.",
    ".hidden",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a@{b",
]


def main() -> None:
    bad = [name for name in NAMES if not pygit2.reference_is_valid_name(f"refs/sentinel/{name}")]
    for name in NAMES:
        print(f"refs/sentinel/{name:12} {'ILLEGAL' if name in bad else 'legal'}")
    print(f"{len(bad)} of {len(NAMES)} cannot be refs")


if __name__ == "__main__":
    main()
