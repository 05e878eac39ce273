"""What one daemon keeps on its machine: run folders, the proof-of-death file, and kept sightings.

Run folders live beside a local store, so that anyone on the host can follow a running task's log, and in
the state folder otherwise. Nothing here is needed for safety: what is lost is made anew.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentinel.clock import Clock
from sentinel.errors import SentinelError
from sentinel.fleet.observer import KeptObserver, Observer
from sentinel.fleet.proof import DeathProof, NoProof, ProofFolder
from sentinel.fleet.view import View
from sentinel.model.layout import session_register
from sentinel.model.worker import Proof
from sentinel.peer.run.spec import RunSpec
from sentinel.store.base import Store

log = logging.getLogger(__name__)

#: Seconds between two sweeps.
_SWEEP_EVERY = 30.0


class Host:
    """One daemon's files on this machine."""

    def __init__(
        self, *, store: Store, state_folder: Path, boot: str, clock: Clock, local_proof: bool
    ) -> None:
        self._clock = clock
        self._runs = (store.host_folder or state_folder) / "logs"
        self._proofs: ProofFolder | None = None
        if store.host_folder is not None and local_proof and boot:
            self._proofs = ProofFolder(store.host_folder / "alive", boot)
        self._kept = KeptObserver(state_folder / "observations.json", boot, clock.now)
        self._swept = clock.now()
        #: Descriptors of the proof files that are held locked.
        self._held: dict[str, int] = {}
        try:
            state_folder.mkdir(parents=True, exist_ok=True)
            self._runs.mkdir(parents=True, exist_ok=True)
            if not os.access(state_folder, os.W_OK) or not os.access(self._runs, os.W_OK):
                raise PermissionError(13, "not writable", str(state_folder))
        except OSError as error:
            raise CannotStart(
                f"the folder {error.filename or state_folder} cannot be used ({error.strerror}); "
                "free space, change its permissions, or set SENTINEL_STATE_FOLDER"
            ) from error

    @property
    def observer(self) -> Observer:
        """What earlier processes of this boot saw, to go on from."""
        return self._kept.observer

    @property
    def proof(self) -> DeathProof:
        """How this host proves others dead."""
        return self._proofs or NoProof()

    def begin(self, incarnation: str) -> tuple[int | None, Proof | None]:
        """Make the folder and the locked proof file of a new incarnation.

        The descriptor (or None where nothing is proven), which stays open until `over`, and what to
        announce. Raises `CannotStart`.
        """
        try:
            self.run_folder(incarnation).mkdir(parents=True, exist_ok=True)
            if self._proofs is None:
                return None, None
            descriptor, proof = self._proofs.begin(incarnation)
            self._held[incarnation] = descriptor
            return descriptor, proof
        except OSError as error:
            raise CannotStart(f"{error.filename} cannot be written: {error.strerror}") from error

    def run_folder(self, incarnation: str) -> Path:
        """Where the runs of an incarnation keep their logs and results."""
        return self._runs / session_register(incarnation)

    def ended(self, spec: RunSpec) -> None:
        """Remove what a run left, now that its outputs are stored."""
        for name in (spec.log_path, spec.result_path, spec.progress_path):
            if name is not None:
                with _not_needed():
                    Path(name).unlink(missing_ok=True)

    def over(self, incarnation: str, *, left: bool) -> None:
        """Let go of an incarnation and what it kept; its proof of death stays unless it ``left`` cleanly."""
        if incarnation in self._held:
            os.close(self._held.pop(incarnation))
        shutil.rmtree(self.run_folder(incarnation), ignore_errors=True)
        if left and self._proofs is not None:
            with _not_needed():
                self._proofs.remove(incarnation)

    def housekeeping(self, view: View) -> None:
        """Keep sightings, and sweep what dead incarnations left; every half minute at most."""
        now = self._clock.now()
        if now - self._swept < _SWEEP_EVERY:
            return
        self._swept = now
        live = set(view.living)
        self.keep_sightings()
        if self._proofs is not None:
            self._proofs.sweep(live)
        with _not_needed():
            self._sweep_runs({session_register(name) for name in live})

    def _sweep_runs(self, keep: set[str]) -> None:
        for folder in self._runs.iterdir():
            # A folder without a live incarnation may belong to one that is about to join.
            if folder.name not in keep and self._age(folder) > _SWEEP_EVERY:
                shutil.rmtree(folder, ignore_errors=True)

    def keep_sightings(self) -> None:
        """Keep what was seen for the next process on this machine."""
        self._kept.save(self.observer.sightings())

    def _age(self, folder: Path) -> float:
        try:
            return self._clock.wall() - folder.stat().st_mtime
        except OSError:
            return 0.0


@contextmanager
def _not_needed() -> Iterator[None]:
    """For files that are lost or left without harm: say so, and go on."""
    try:
        yield
    except OSError as error:
        log.warning("%s: %s; going on without", error.filename, error.strerror)


class CannotStart(SentinelError):
    """The machine does not let the daemon work; the message names the path and the remedy."""
