"""A depth-1 fetch hides a transaction that was won: the newest commit is somebody else's.

A peer whose push had no answer looks for its transaction id in the history. With ``--depth 1`` the history
is one commit long, and the peer takes its own success for a failure as soon as anybody committed after it.
"""

import subprocess
import tempfile
from pathlib import Path

NAME = ("-c", "user.name=peer", "-c", "user.email=peer@example.org")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *NAME, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        origin, work = folder / "origin.git", folder / "work"
        subprocess.run(["git", "init", "-q", "--bare", str(origin)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "state", str(work)], check=True)
        for message in (
            "root",
            "claim build-42\n\nSentinel-Tx: mine",
            "beat by another\n\nSentinel-Tx: other",
        ):
            git(work, "commit", "-q", "--allow-empty", "-m", message)
        git(work, "push", "-q", str(origin), "state")
        for depth in (["--depth=1"], []):
            reader = folder / f"reader{len(depth)}"
            subprocess.run(["git", "init", "-q", "--bare", str(reader)], check=True)
            git(reader, "fetch", "-q", *depth, f"file://{origin}", "state:state")
            text = git(reader, "log", "--format=%B", "state")
            print(
                f"fetch {' '.join(depth) or 'in full'}: {text.count('Sentinel-Tx')} transactions seen, "
                f"mine is {'there' if 'Sentinel-Tx: mine' in text else 'NOT there, though it landed'}"
            )


if __name__ == "__main__":
    main()
