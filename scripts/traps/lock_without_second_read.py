"""Locking a ref is not enough: without a second read under the lock, updates are lost.

Peers add commits to one branch through libgit2's transaction: read, commit on top, `lock_ref`, `set_target`.
Whoever waited for the lock sets the branch to a child of an old head, and the commits between are gone.
With a second read and a comparison under the lock nothing is lost.
"""

import multiprocessing
import tempfile
from multiprocessing.synchronize import Barrier

import pygit2

PEERS = 4
EACH = 100
REF = "refs/heads/state"


def work(
    path: str, mine: int, careful: bool, start: Barrier, acknowledged: "multiprocessing.Queue[list[str]]"
) -> None:
    repository = pygit2.Repository(path)
    who = pygit2.Signature(f"peer {mine}", "peer@example.org", 0, 0)
    tree = repository.TreeBuilder().write()
    said = []
    start.wait()
    for number in range(EACH):
        text = f"{mine}-{number}"
        while True:
            base = repository.lookup_reference(REF).target
            commit = repository.create_commit(None, who, who, text, tree, [base])
            try:
                with repository.transaction() as transaction:
                    transaction.lock_ref(REF)
                    if careful and repository.lookup_reference(REF).target != base:
                        continue
                    transaction.set_target(REF, commit)
            except (pygit2.GitError, OSError):
                continue
            said.append(text)
            break
    acknowledged.put(said)


def main() -> None:
    for careful in (False, True):
        with tempfile.TemporaryDirectory() as path:
            repository = pygit2.init_repository(path, bare=True)
            who = pygit2.Signature("root", "root@example.org", 0, 0)
            repository.create_commit(REF, who, who, "root", repository.TreeBuilder().write(), [])
            acknowledged: multiprocessing.Queue[list[str]] = multiprocessing.Queue()
            start = multiprocessing.Barrier(PEERS)
            peers = [
                multiprocessing.Process(target=work, args=(path, mine, careful, start, acknowledged))
                for mine in range(PEERS)
            ]
            for peer in peers:
                peer.start()
            said = [text for _ in peers for text in acknowledged.get(timeout=55)]
            for peer in peers:
                peer.join()
            kept = {commit.message for commit in repository.walk(repository.lookup_reference(REF).target)}
        lost = sum(text not in kept for text in said)
        how = "with a second read" if careful else "without a second read"
        print(f"{how}: {lost} of {len(said)} acknowledged updates are lost ({PEERS} peers)")


if __name__ == "__main__":
    main()
