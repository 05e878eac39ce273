"""With one ref a task, every push first downloads the names of all of them."""

import os
import subprocess
import tempfile
from pathlib import Path

import pygit2


def advertised(origin: str) -> int:
    """Bytes that a server sends before a push, as the receiving end of one prints them."""
    environment = {**os.environ, "GIT_PROTOCOL": ""}
    done = subprocess.run(
        ["git", "receive-pack", "--http-backend-info-refs", origin],
        capture_output=True,
        check=False,
        env=environment,
    )
    return len(done.stdout)


def main() -> None:
    for count in (1, 50, 5000):
        with tempfile.TemporaryDirectory() as temporary:
            origin = str(Path(temporary) / "origin.git")
            repository = pygit2.init_repository(origin, bare=True)
            who = pygit2.Signature("root", "root@example.org", 0, 0)
            tree = repository.TreeBuilder().write()
            lines = ["# pack-refs with: peeled fully-peeled sorted \n"]
            for number in range(count):
                commit = repository.create_commit(None, who, who, f"{number}", tree, [])
                # 64 digits, as a hash of a task's id would have.
                lines.append(f"{commit} refs/sentinel/tasks/{number:064x}\n")
            (Path(origin) / "packed-refs").write_text("".join(lines))
            print(f"{count:5} refs: {advertised(origin):9,} bytes before each push")


if __name__ == "__main__":
    main()
