"""What one peer judges issues by: the rules of this machine, and patience with what GitHub tells late."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet

from sentinel.errors import BadRecord
from sentinel.fleet.declared import registered, registered_limits, registered_types
from sentinel.fleet.duty import Post
from sentinel.fleet.submission import Declared
from sentinel.fleet.view import Reader
from sentinel.fleet.why import why
from sentinel.github.case import Case, Decision, Look, NotYet, Rules
from sentinel.github.hub import Enquiry
from sentinel.github.intake import Intake
from sentinel.github.tenure import Tenure
from sentinel.github.trust import Policy
from sentinel.model.task import Task
from sentinel.store.base import Snapshot, Transaction

log = logging.getLogger(__name__)

#: Seconds for which it is waited for what GitHub does not tell yet, such as who put a label on an issue.
PATIENCE = 180.0


class Judging:
    """Decides what looks come to, one after another."""

    def __init__(self, post: Post, tenure: Tenure, policy: Policy) -> None:
        self._post = post
        self._tenure = tenure
        self._policy = policy
        self._reader = Reader()
        #: Issues of which GitHub does not tell yet what a decision turns on → since when, by our clock.
        self._since: dict[int, float] = {}

    @property
    def waiting(self) -> AbstractSet[int]:
        """Issues that are to be looked at again, whether anything on them changes or not."""
        return self._since.keys()

    def forget(self) -> None:
        """Wait for nothing any more: somebody else goes on."""
        self._since.clear()

    def decide(
        self, snapshot: Snapshot, look: Look, ask: Enquiry, undecided: frozenset[str]
    ) -> Decision | None:
        """What a look comes to; None for nothing, or nothing yet. Raises `Lost`, `Later` and store errors."""
        decision = None
        try:
            decision = Intake(self._case(snapshot, look, ask, undecided)).decide()
        except NotYet:
            self._since.setdefault(look.number, self._post.clock.now())
            return None
        except BadRecord as problem:
            log.error("issue %d is left alone: %s", look.number, problem)
        self._since.pop(look.number, None)
        return decision

    def refused(self, snapshot: Snapshot, look: Look, ask: Enquiry, reason: str) -> Transaction | None:
        """What to write when the store does not take what was decided; None for nothing. Raises `Lost`."""
        return Intake(self._case(snapshot, look, ask, frozenset())).refused(reason)

    def rules(self) -> Rules:
        """By what issues and files are judged here."""
        place = self._post.place
        return Rules(
            policy=self._policy,
            types=place.types,
            registered=self._registered,
            timeout=place.timeout,
            retries=place.retries,
        )

    def _case(self, snapshot: Snapshot, look: Look, ask: Enquiry, undecided: frozenset[str]) -> Case:
        now = self._post.clock.now()
        return Case(
            self._tenure.guarded(snapshot),
            snapshot,
            look,
            ask=ask,
            rules=self.rules(),
            explain=self._explain,
            nonce=self._post.ids.nonce(),
            wall=self._post.clock.wall(),
            undecided=undecided,
            patient=now - self._since.get(look.number, now) < PATIENCE,
        )

    def _registered(self, snapshot: Snapshot) -> dict[str, Declared]:
        workers = registered(snapshot)
        return {
            name: registered_limits(workers, name) or Declared(origin=origin)
            for name, origin in registered_types(workers).items()
        }

    def _explain(self, task: Task) -> str:
        store = self._post.transactor.store
        view = self._reader.view(store.read())
        place = self._post.place
        reason = why(
            task,
            view,
            store.published(),
            wall=self._post.clock.wall(),
            balancer=place.balancer,
            options=place.balancer_options,
        )
        return reason.text
