"""A session that is taken along on a push of something else, and what became of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sentinel.model.codec import encode_document
from sentinel.model.layout import SESSION_REFS
from sentinel.store.base import Committed, Conflicted, Rider, Rode
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.mirror import Mirror, Update
from sentinel.store.remote_sessions import Sessions, object_id


class Riding:
    """Sends updates, with what somebody wants to have taken along."""

    def __init__(self, mirror: Mirror, sessions: Sessions) -> None:
        self._mirror = mirror
        self._sessions = sessions
        #: Who has something that the next push is to take along.
        self._rider: Rider | None = None

    @contextlib.contextmanager
    def of(self, rider: Rider) -> Iterator[None]:
        """The first push in here takes along what ``rider`` has."""
        self._rider = rider
        try:
            yield
        finally:
            self._rider = None

    def send(self, update: Update, size: int) -> Answer:
        """Send ``update``, of about ``size`` bytes, and what the rider has; the first push alone takes it."""
        rider, self._rider = self._rider, None
        ride = None if rider is None else rider.ride()
        if rider is None or ride is None:
            (answer,) = self._mirror.send_each([update], size=size)
            return answer
        outcome: Committed | Conflicted | Rode = Rode.NOT
        try:
            try:
                expected = object_id(ride.expect)
            except ValueError:
                outcome = Conflicted((ride.name,))
                (answer,) = self._mirror.send_each([update], size=size)
                return answer
            session = self._sessions.write(encode_document(ride.document))
            along = Update(SESSION_REFS + ride.name, session, expected)
            # Should anything go wrong from here on, it may be on its way.
            outcome = Rode.UNKNOWN
            answer, others = self._mirror.send_each([update, along], size=size)
            outcome = rode(others, along)
        finally:
            rider.rode(ride, outcome)
        return answer


def rode(answer: Answer, update: Update) -> Committed | Conflicted | Rode:
    """The outcome for the rider, by git's answer for its ref."""
    match answer.pushed:
        case Pushed.LANDED:
            return Committed(str(update.commit))
        case Pushed.MOVED:
            return Conflicted((update.ref.removeprefix(SESSION_REFS),))
        case Pushed.FAILED | Pushed.REFUSED:
            return Rode.NOT
        case _:
            return Rode.UNKNOWN
