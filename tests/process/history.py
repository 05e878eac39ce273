"""What the Git history of a store says, read with nothing but git: the judge for tests that kill."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any


class History:
    """Every version of every task record, oldest first."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def subjects(self) -> list[str]:
        """The audit: one line a commit, oldest first."""
        return self._git("log", "--reverse", "--format=%s", "sentinel/state").splitlines()

    def notes(self) -> list[str]:
        """What each transaction was for, oldest first; a subject names one of several in a commit."""
        lines = self._git("log", "--reverse", "--format=%B", "sentinel/state").splitlines()
        return [line for line in lines if line and not line.startswith("Sentinel-")]

    def repeated_transactions(self) -> list[str]:
        """Ids of transactions that landed more than once."""
        trailers = self._git("log", "--format=%(trailers:key=Sentinel-Tx,valueonly)", "sentinel/state")
        return [name for name, times in Counter(trailers.split()).items() if times > 1]

    def task_versions(self) -> dict[str, list[dict[str, Any]]]:
        """Task id → all versions of its record, in the order in which they were committed."""
        changes = self._git(
            "log",
            "--reverse",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "--format=",
            "sentinel/state",
            "--",
            "tasks",
            "done",
        )
        blobs = [
            fields[3]
            for fields in (line.split() for line in changes.splitlines())
            if fields and fields[4] in ("A", "M")
        ]
        versions: dict[str, list[dict[str, Any]]] = {}
        for record in self._read(blobs):
            versions.setdefault(record["id"], []).append(record)
        return versions

    def live_incarnations(self) -> list[str]:
        """Files of incarnations at the head."""
        return self._git("ls-tree", "-r", "--name-only", "sentinel/state", "incarnations/").splitlines()

    def _read(self, blobs: list[str]) -> list[dict[str, Any]]:
        answer = subprocess.run(
            ["git", "-C", str(self._store), "cat-file", "--batch"],
            input="".join(f"{blob}\n" for blob in blobs).encode(),
            capture_output=True,
            check=True,
        ).stdout
        records, at = [], 0
        for _ in blobs:
            end = answer.index(b"\n", at)
            size = int(answer[at:end].split()[2])
            records.append(json.loads(answer[end + 1 : end + 1 + size]))
            at = end + 1 + size + 1
        return records

    def _git(self, *args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self._store), *args], capture_output=True, text=True, check=True
        ).stdout


def problems(versions: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What breaks I1, I2, I3 or I8 in these chains of records; empty when nothing does."""
    found = []
    for task, chain in versions.items():
        finished = [event for event in chain[-1]["history"] if event["event"] == "finished"]
        if len(finished) != 1 or chain[-1]["state"] != "done":
            found.append(f"{task} ended as {chain[-1]['state']} with {len(finished)} results")
        for before, after in itertools.pairwise(chain):
            if after["rev"] != before["rev"] + 1:
                found.append(f"{task}: rev {before['rev']} is followed by {after['rev']}")
            claimed = before["state"] == "pending" and after["state"] == "running"
            if after["epoch"] != before["epoch"] + (1 if claimed else 0):
                found.append(f"{task}: epoch {before['epoch']} became {after['epoch']} in {after['state']}")
            if before["state"] == "done":
                found.append(f"{task}: done was not final")
    return found
