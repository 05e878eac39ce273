"""``references.create(force=False)`` looks like a lock, and lets two processes have it.

libgit2 looks whether the ref exists before it takes the lock, so two that look at once both go on; the second
overwrites the first, and neither is told.
"""

import multiprocessing
import tempfile
import time

import pygit2

ROUNDS = 1000
PEERS = 4
#: Seconds between two rounds; all peers wait for the same instant without sleeping.
PACE = 0.005


def race(path: str, mine: int, start: float, wins: "multiprocessing.Queue[list[int]]") -> None:
    repository = pygit2.Repository(path)
    who = pygit2.Signature(f"peer {mine}", "peer@example.org", 0, 0)
    tree = repository.TreeBuilder().write()
    commit = repository.create_commit(None, who, who, f"peer {mine}", tree, [])
    won = []
    for number in range(ROUNDS):
        while time.monotonic() < start + number * PACE:
            pass
        try:
            repository.references.create(f"refs/locks/r{number}", commit, force=False)
            won.append(number)
        except (pygit2.GitError, ValueError, OSError):
            pass
    wins.put(won)


def main() -> None:
    with tempfile.TemporaryDirectory() as path:
        pygit2.init_repository(path, bare=True)
        wins: multiprocessing.Queue[list[int]] = multiprocessing.Queue()
        start = time.monotonic() + 1.0
        peers = [
            multiprocessing.Process(target=race, args=(path, mine, start, wins), daemon=True)
            for mine in range(PEERS)
        ]
        for peer in peers:
            peer.start()
        winners = [0] * ROUNDS
        for _ in peers:
            for number in wins.get(timeout=50):
                winners[number] += 1
    print(
        f"{sum(count > 1 for count in winners)} of {ROUNDS} refs had more than one winner among {PEERS} peers"
    )


if __name__ == "__main__":
    main()
