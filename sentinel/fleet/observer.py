"""Silence, as one observer sees it: never by comparing the clocks of two machines.

Silence of a version runs, on *my* monotonic clock, from the reply of the first read that showed it to the
sending of the last read that showed it. That is the longest time for which I know that nothing else was
there: a reply that was held up (by a pause, a slow network) makes it shorter, never longer. A failed read is
no observation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sentinel.model.lock import MAX_TTL
from sentinel.store.base import ABSENT, Expected

#: Sightings of things that nobody looked at for so many seconds are not kept: twice the longest TTL.
_FORGET_AFTER = 2 * MAX_TTL


class Sighting(NamedTuple):
    """One version of one watched thing, as long as it stays unchanged."""

    #: None for a thing that is missing: a missing session is silent too.
    version: str | None
    #: Reply of the first read that showed it, on my clock.
    first_reply: float
    #: Sending of the last read that showed it, on my clock.
    last_sent: float
    #: For a session: the TTL in seconds of the last version of it that could be read; 0 when none could.
    ttl: float = 0.0

    @property
    def silence(self) -> float:
        """Seconds for which it is known to be unchanged."""
        return max(0.0, self.last_sent - self.first_reply)


def sight(known: Sighting | None, version: Expected, *, sent: float, reply: float) -> Sighting:
    """The sighting after one more read, sent and replied at these times on my clock. Pure."""
    seen = None if version is ABSENT else version
    if known is None or known.version != seen:
        return Sighting(version=seen, first_reply=reply, last_sent=sent)
    if sent <= known.last_sent:
        return known
    return Sighting(seen, known.first_reply, sent, known.ttl)


class Observer:
    """Remembers sightings by name; names are whatever the caller watches (registers, lock keys)."""

    def __init__(self, sightings: Mapping[str, Sighting] | None = None) -> None:
        self._sightings = dict(sightings or {})

    def look(
        self,
        versions: Mapping[str, Expected],
        *,
        sent: float,
        reply: float,
        announced: Mapping[str, float] = MappingProxyType({}),
        keep: Iterable[str] = (),
    ) -> None:
        """Take in one successful read of everything that is watched; what is not in it is forgotten.

        ``announced`` are the TTLs of the sessions among it that can be read. ``keep`` is what is watched too,
        and was not looked at this time.
        """
        kept = {name: self._sightings[name] for name in keep if name in self._sightings}
        self._sightings = kept | {
            name: self._seen(name, version, sent, reply, announced.get(name))
            for name, version in versions.items()
        }

    def note(
        self, name: str, version: Expected, *, sent: float, reply: float, announced: float | None = None
    ) -> None:
        """Take in one successful read of one thing, and keep the others."""
        self._sightings[name] = self._seen(name, version, sent, reply, announced)

    def _seen(
        self, name: str, version: Expected, sent: float, reply: float, announced: float | None
    ) -> Sighting:
        known = self._sightings.get(name)
        found = sight(known, version, sent=sent, reply=reply)
        if announced is None:
            announced = 0.0 if known is None else known.ttl
        return found if found.ttl == announced else found._replace(ttl=announced)

    def announced(self, name: str) -> float:
        """The TTL of the last version of a session that could be read here, in seconds; 0 when none could."""
        known = self._sightings.get(name)
        return 0.0 if known is None else known.ttl

    def forget(self, name: str) -> None:
        """Watch one thing no more."""
        self._sightings.pop(name, None)

    def silence(self, name: str, version: Expected) -> float:
        """Seconds for which ``name`` is known to have had this very version; zero when never seen so."""
        known = self._sightings.get(name)
        if known is None or known.version != (None if version is ABSENT else version):
            return 0.0
        return known.silence

    def sightings(self) -> Mapping[str, Sighting]:
        """What it knows, to be kept for the next process."""
        return dict(self._sightings)


def load_sightings(path: Path, boot: str, now: float) -> dict[str, Sighting]:
    """Sightings that an earlier process of this boot kept at ``path``; none when that is not possible.

    Silence goes on across processes only if the clock did (same boot), and an unreadable file means to
    start anew: that only makes silence shorter.
    """
    try:
        kept = json.loads(path.read_bytes())
        if kept["boot"] != boot:
            return {}
        found = {
            name: Sighting(
                version=version, first_reply=float(first), last_sent=float(last), ttl=float(*ttl or [0.0])
            )
            for name, (version, first, last, *ttl) in kept["sightings"].items()
            if version is None or isinstance(version, str)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    return {name: found[name] for name in found if now - _FORGET_AFTER <= found[name].last_sent <= now}


def save_sightings(path: Path, boot: str, sightings: Mapping[str, Sighting]) -> None:
    """Keep sightings for later processes of this boot. Raises `OSError`."""
    kept: dict[str, Any] = {
        "boot": boot,
        "sightings": {
            name: [sighting.version, sighting.first_reply, sighting.last_sent, sighting.ttl]
            for name, sighting in sightings.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(kept))
    temporary.replace(path)


class KeptObserver:
    """An observer for one-shot commands: it starts from what earlier commands saw, and adds to it."""

    def __init__(self, path: Path, boot: str, now: Callable[[], float]) -> None:
        self._path = path
        self._boot = boot
        self._now = now
        self.observer = Observer(load_sightings(path, boot, now()))

    def save(self, names: Iterable[str]) -> None:
        """Keep the sightings of ``names``; those of other commands that ran meanwhile stay as they are.

        A folder that cannot be written is no error: the next command starts to observe anew.
        """
        mine = self.observer.sightings()
        kept = load_sightings(self._path, self._boot, self._now())
        kept.update({name: mine[name] for name in names if name in mine})
        try:
            save_sightings(self._path, self._boot, kept)
        except OSError:
            return
