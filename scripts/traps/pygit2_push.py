"""pygit2's ``remote.push`` over ``file://`` loses updates that it reported as done.

Several peers each add a line to one branch: fetch, commit on top, push; a refused push is tried again. Every
push that raised nothing and reported no error should be in the final history.
"""

import multiprocessing
import tempfile
from pathlib import Path

import pygit2

PEERS = 4
EACH = 40
REF = "refs/heads/state"


class Answers(pygit2.RemoteCallbacks):
    """Remembers what the remote said of the ref."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: str | None = None

    def push_update_reference(self, _refname: str, message: str | None) -> None:
        self.refused = message


def work(origin: str, folder: str, mine: int, acknowledged: "multiprocessing.Queue[str | None]") -> None:
    repository = pygit2.init_repository(folder, bare=True)
    remote = repository.remotes.create("origin", f"file://{origin}")
    who = pygit2.Signature(f"peer {mine}", "peer@example.org", 0, 0)
    tree = repository.TreeBuilder().write()
    for number in range(EACH):
        for _ in range(200):
            try:
                remote.fetch([f"+{REF}:refs/seen"])
                base = repository.lookup_reference("refs/seen").target
                text = f"{mine}-{number}"
                commit = repository.create_commit(None, who, who, text, tree, [base])
                repository.references.create("refs/mine", commit, force=True)
                answers = Answers()
                remote.push([f"refs/mine:{REF}"], callbacks=answers)
            except (pygit2.GitError, OSError, ValueError):
                continue
            if answers.refused is None:
                acknowledged.put(text)
                break
    acknowledged.put(None)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        origin = str(Path(temporary) / "origin.git")
        repository = pygit2.init_repository(origin, bare=True)
        who = pygit2.Signature("root", "root@example.org", 0, 0)
        repository.create_commit(REF, who, who, "root", repository.TreeBuilder().write(), [])
        acknowledged: multiprocessing.Queue[str | None] = multiprocessing.Queue()
        peers = [
            multiprocessing.Process(target=work, args=(origin, f"{temporary}/{mine}", mine, acknowledged))
            for mine in range(PEERS)
        ]
        for peer in peers:
            peer.start()
        said: list[str] = []
        running = PEERS
        while running:
            text = acknowledged.get(timeout=55)
            running -= text is None
            said += [] if text is None else [text]
        for peer in peers:
            peer.join()
        kept = {commit.message for commit in repository.walk(repository.lookup_reference(REF).target)}
    lost = [text for text in said if text not in kept]
    print(f"{len(lost)} of {len(said)} pushes that were reported as done are not in the history")
    print(f"    with {PEERS} peers, pygit2 {pygit2.__version__}, libgit2 {pygit2.LIBGIT2_VERSION}")


if __name__ == "__main__":
    main()
