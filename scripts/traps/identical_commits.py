"""Two peers push a byte-identical commit: Git tells both that it went well.

Same parent, tree, author, time and message make the same object id, so the second push finds the remote
already there: ``= [up to date]``, exit 0. A claim without a nonce has two winners.
"""

import os
import subprocess
import tempfile
from pathlib import Path

WHEN = "2026-11-22T08:00:00+00:00"
FIXED = {**os.environ, "GIT_AUTHOR_DATE": WHEN, "GIT_COMMITTER_DATE": WHEN}
NAME = ("-c", "user.name=peer", "-c", "user.email=peer@example.org")


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "-C", str(folder), *NAME, *arguments], capture_output=True, text=True, check=False, env=FIXED
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin = folder / "origin.git"
        subprocess.run(["git", "init", "-q", "--bare", str(origin)], check=True)
        for nonce in (False, True):
            branch = "with-nonce" if nonce else "without-nonce"
            answers = []
            for peer in ("one", "two"):
                clone = folder / f"{peer}-{branch}"
                subprocess.run(["git", "init", "-q", "-b", branch, str(clone)], check=True)
                (clone / "claim").write_text("the lock is taken\n")
                git(clone, "add", "claim")
                git(clone, "commit", "-q", "-m", f"claim\n\nnonce: {peer}" if nonce else "claim")
                # An explicit lease that says "the branch must not exist yet": the strictest push there is.
                push = git(clone, "push", f"--force-with-lease={branch}:", str(origin), branch)
                last = push.stderr.strip().splitlines() or ["(silent)"]
                shown = next((line.strip() for line in last if "up to date" in line or "[" in line), last[-1])
                answers.append((push.returncode, shown))
            winners = sum(status == 0 for status, _ in answers)
            print(f"{branch}: {winners} of 2 peers were told that they won")
            for status, shown in answers:
                print(f"    exit {status}: {shown}")


if __name__ == "__main__":
    main()
