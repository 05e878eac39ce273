"""What a one-shot client knows of silence and death: as much as this machine has seen, and no more."""

from __future__ import annotations

from sentinel.client.connection import Connection
from sentinel.fleet.observer import KeptObserver, Observer
from sentinel.fleet.proof import DeathProof, NoProof, ProofFolder, boot_id


class Observing(Connection):
    """A connection that goes on from what earlier commands on this machine saw."""

    _seen: tuple[KeptObserver | None, Observer] | None = None

    def _sightings(self) -> tuple[KeptObserver | None, Observer]:
        """What this client saw before, and what earlier commands on this machine did."""
        if self._seen is None:
            kept = None
            if self._state_folder is not None:
                path = self._state_folder / "observations.json"
                kept = KeptObserver(path, boot_id(), self._clock.now)
            self._seen = kept, Observer() if kept is None else kept.observer
        return self._seen

    def _proof(self) -> DeathProof:
        folder, boot = self.store.host_folder, boot_id()
        if folder is None or not boot or not self._options.local_proof:
            return NoProof()
        return ProofFolder(folder / "alive", boot)
