"""The duty of a peer on GitHub: take in issues and files, heed commands, and show what became of them.

All peers have it and one does it: who holds the lock `github.intake`, as an incarnation, so that it is free
when that is gone, by leaving or by failover. Every transaction expects the lock as it was read and the
incarnation's record: whoever lost either writes nothing. Requests to GitHub cannot be fenced like that; so
none of them decides anything, and what one of them spoils is seen in the next look and made right.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sentinel.errors import BadRecord, StoreError
from sentinel.fleet.duty import Duty, Post
from sentinel.github import feed, outbox, retention
from sentinel.github.api import Options as ApiOptions
from sentinel.github.api import connect
from sentinel.github.budget import UNLIMITED, MirrorShare
from sentinel.github.case import Later, Look
from sentinel.github.commands import command
from sentinel.github.errors import Limited, Unauthorised
from sentinel.github.governor import Governor
from sentinel.github.hub import Comment, Enquiry, Hub, Issue, myself
from sentinel.github.judging import Judging
from sentinel.github.merged import Merged
from sentinel.github.place import locate
from sentinel.github.purse import Purse
from sentinel.github.records import OutboxEntry, Seen
from sentinel.github.tenure import Lost, Tenure
from sentinel.github.trust import Policy
from sentinel.github.voice import Said, Voice
from sentinel.model import layout
from sentinel.model.redaction import Redactor, secrets_of
from sentinel.store.base import Conflicted, Outcome, Refused, Snapshot, Transaction

log = logging.getLogger(__name__)

#: Failures of single issues after which a step gives up.
_FAILURES = 3
#: Seconds between two looks at what is kept of issues.
_TIDY = 3_600.0
#: Tries of a batch of which something moved.
_TRIES = 3
#: Shortest pause, in seconds, between two steps that have more to do.
_SOON = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How issues are dealt with; the settings `github.issues`."""

    enabled: bool = True
    #: Seconds between two looks at GitHub, at least.
    poll: float = 60.0
    policy: Policy = dataclasses.field(default_factory=Policy)

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Options:
        """The options that settings of these names give; what is missing has its default."""
        known: dict[str, object] = {
            name: settings[name] for name in ("enabled", "poll") if settings.get(name) is not None
        }
        least = settings.get("permission") or "write"
        allow, approvers = settings.get("allow") or (), settings.get("approvers") or ()
        assert isinstance(allow, Iterable)
        assert isinstance(approvers, Iterable)
        policy = Policy(least=least, allow=frozenset(allow), approvers=frozenset(approvers))  # type: ignore[arg-type]  # checked by the settings
        return cls(**known, policy=policy)  # type: ignore[arg-type]  # checked by the settings


class IssueDuty(Duty):
    """Issues and files as tasks, one peer at a time."""

    def __init__(
        self, post: Post, hub: Hub, repository: str, options: Options, redactor: Redactor | None = None
    ) -> None:
        self._post = post
        self._hub = hub
        self._path = repository
        self._options = options
        self._redactor = redactor or Redactor()
        self._store = post.transactor.store
        self._clock = post.clock
        self._tenure = Tenure(post)
        self._judging = Judging(post, self._tenure, options.policy)
        self._notes = outbox.Notes()
        self._outbox = outbox.Outbox(self._notes)
        self._me: int | None = None
        self._asked_me = False
        #: Where the next look goes on; None until it was read from the store.
        self._seen: Seen | None = None
        self._merged = Merged(hub, repository, self._tenure, self._clock)
        budget = post.place.budget
        self._governor = budget if isinstance(budget, Governor) else None
        self._tidy_at = float("-inf")
        #: When GitHub is looked at next, and when the next push may be, where those are counted.
        self._look_at = self._push_at = float("-inf")
        self._hints: set[int] = set()
        #: Why an issue could not be judged in this step.
        self._trouble: StoreError | None = None
        self._voice = Voice(
            hub,
            locate(post.place.url, post.place.environ),
            self._store,
            self._outbox,
            Purse(self._mirror_share, self._clock),
            redactor=self._redactor,
            clock=self._clock,
        )
        self._mutex = threading.Lock()

    def changed(self, number: int) -> None:
        """Issue ``number`` may have changed: it is looked at in the next step. From any thread.

        For whoever hears of changes before a look would show them, such as a webhook.
        """
        with self._mutex:
            self._hints.add(number)
        self._post.wake()

    def tick(self) -> float:
        """One step, if the lock is ours or can be had; after how many seconds the next is due.

        Raises store errors; whatever was not finished is done by the next step, of whichever peer.
        """
        if not self._options.enabled:
            return self._pause
        if not self._tenure.held():
            if not self._tenure.begin():
                return self._pause
            self._seen = None
            self._voice.begin()
        try:
            return self._step()
        except Lost:
            log.info("%s does not deal with GitHub any more", self._post.worker)
            self._seen = None
            self._judging.forget()
            self._notes.clear()
            return self._pause

    @property
    def _pause(self) -> float:
        """Seconds until the next look: as configured, or longer where the budget asks for it."""
        least = 0.0 if self._governor is None else self._governor.intake_pause()
        return max(self._options.poll, least)

    def close(self) -> None:
        """Close the client of GitHub."""
        close = getattr(self._hub, "close", None)
        if close is not None:
            close()

    # -- one step ---------------------------------------------------------------------------------------

    def _step(self) -> float:
        if not self._asked_me:
            self._me = myself(self._hub)
            self._asked_me = True
        recognition = outbox.Recognition(self._hub, self._path, self._me)
        with self._mutex:
            hints, self._hints = self._hints, set()
        finished, self._trouble = True, None
        looked = False
        if hints or self._clock.now() >= max(self._look_at, self._push_at):
            began, looked = self._clock.now(), True
            finished = self._look(recognition, hints)
            # While there is more to be said, looks are no more frequent for it where each may be a push.
            self._look_at = began + self._pause if finished and self._push_pause else began
        if isinstance(self._trouble, Limited | Unauthorised):
            raise self._trouble
        more_in = self._say(recognition, looked=looked)
        if self._trouble is not None:
            # All else is done; this is tried again with growing pauses.
            raise self._trouble
        if not finished:
            return _SOON
        if not self._push_pause:
            return max(_SOON, min(self._pause, more_in))
        return max(_SOON, min(max(self._look_at, self._push_at) - self._clock.now(), more_in))

    def _look(self, recognition: outbox.Recognition, hints: set[int]) -> bool:
        """Take in what is new; True when nothing of it is left for another step."""
        try:
            news = feed.look(self._hub, self._path, self._since())
            finished = self._take_in(news, hints)
            self._make_right(recognition, news)
            if finished:
                # Whoever goes on after us finds those again that have to wait.
                seen = news.seen_without(self._judging.waiting)
                self._seen = dataclasses.replace(seen, rev=self._since().rev, tx=self._since().tx)
            finished = finished and news.whole
        except BaseException:
            with self._mutex:
                self._hints |= hints
            raise
        snapshot = self._store.read()
        self._commit(snapshot, self._merged.look(snapshot, self._judging.rules()))
        self._tidy()
        return finished

    def _tidy(self) -> None:
        """See to it that what is kept of issues does not grow for ever."""
        if self._clock.now() < self._tidy_at:
            return
        self._tidy_at = self._clock.now() + _TIDY
        snapshot = self._store.read()
        try:
            self._commit(snapshot, retention.step(snapshot, lambda: self._tenure.guarded(snapshot)))
        except BadRecord as problem:
            log.error("nothing of old issues is forgotten: %s", problem)

    @property
    def _push_pause(self) -> float:
        return 0.0 if self._governor is None else self._governor.push_pause()

    def _mirror_share(self) -> MirrorShare:
        return UNLIMITED if self._governor is None else self._governor.mirror_share()

    def _since(self) -> Seen:
        if self._seen is None:
            self._seen = _stored_seen(self._store.read())
        return self._seen

    # -- taking in --------------------------------------------------------------------------------------

    def _take_in(self, news: feed.News, hints: set[int]) -> bool:
        """Decide what each issue that changed comes to; True when nothing of it is left for another step."""
        ask = Enquiry(self._hub, self._path)
        looks = list(self._looks(news, hints, ask))
        finished, stuck = True, False
        for _ in range(_TRIES):
            if not looks:
                return finished
            snapshot = self._store.read()
            # Whoever runs after a task of this very look is decided when that has landed; those that wait for
            # each other are decided as they are.
            waited_for = frozenset() if stuck else frozenset(layout.issue_task(look.number) for look in looks)
            batch: list[tuple[Look, Transaction, bool]] = []
            later: list[Look] = []
            failures: list[StoreError] = []
            for look in looks:
                try:
                    decision = self._judging.decide(snapshot, look, ask, waited_for)
                except Later:
                    later.append(look)
                    continue
                except StoreError as error:
                    # What was decided lands, or a look at more than GitHub answers in a minute never would.
                    failures.append(error)
                    if isinstance(error, Limited | Unauthorised) or len(failures) >= _FAILURES:
                        break
                    continue
                if decision is not None and decision.transaction is not None:
                    batch.append((look, decision.transaction, decision.again))
            outcomes = self._commit(snapshot, [transaction for _, transaction, _ in batch])
            if failures:
                self._trouble = failures[-1]
                return False
            stuck = len(later) == len(looks)
            looks = later
            for (look, transaction, again), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Conflicted):
                    looks.append(look)
                elif isinstance(outcome, Refused):
                    log.error("the store refused %r: %s", transaction.note, outcome.reason)
                    self._tell_of_refusal(look, ask, outcome.reason)
                elif again:
                    finished = False
        return finished and not looks

    def _looks(self, news: feed.News, hints: set[int], ask: Enquiry) -> Iterator[Look]:
        issues: dict[int, Issue | None] = dict(news.issues)
        commands: dict[int, list[Comment]] = {}
        for comment in news.comments:
            if command(comment.body) is not None:
                commands.setdefault(comment.issue, []).append(comment)
        for number in sorted(issues.keys() | commands.keys() | hints | self._judging.waiting):
            if number not in issues or number in hints:
                # A command is heeded on what its issue says now.
                issues[number] = ask.issue(number)
            yield Look(number=number, issue=issues[number], comments=tuple(commands.get(number, ())))

    def _tell_of_refusal(self, look: Look, ask: Enquiry, reason: str) -> None:
        """Whoever opened the issue is told, where that is all there is of it."""
        snapshot = self._store.read()
        transaction = self._judging.refused(snapshot, look, ask, reason)
        if transaction is not None:
            self._commit(snapshot, [transaction])

    def _commit(self, snapshot: Snapshot, transactions: Sequence[Transaction]) -> Sequence[Outcome]:
        """Land a batch, and up to where GitHub was read and dealt with. Raises `Lost` and store errors."""
        unstored = self._notes.unstored(snapshot)
        if not transactions and not (self._notes.pressing and self._clock.now() >= self._push_at):
            return ()
        batch = list(transactions)
        for entry in unstored:
            change = self._tenure.guarded(snapshot).put(layout.outbox_key(entry.number), entry)
            batch.append(change.transaction(f"said on issue {entry.number}"))
        seen = self._since()
        stored = _stored_seen(snapshot)
        if (seen.issues, seen.comments) != (stored.issues, stored.comments):
            change = self._tenure.guarded(snapshot)
            change.put(layout.SEEN, dataclasses.replace(seen, rev=stored.rev, tx=stored.tx))
            batch.append(change.transaction(f"read GitHub up to {seen.issues}"))
        outcomes = self._post.transactor.retrying()(self._store.commit, batch)
        self._push_at = self._clock.now() + self._push_pause
        return outcomes[: len(transactions)]

    # -- saying -----------------------------------------------------------------------------------------

    def _make_right(self, recognition: outbox.Recognition, news: feed.News) -> None:
        """Take note of what stands on GitHub and should not: doubles, other words, other labels."""
        snapshot = self._store.read()
        found = self._outbox.amiss(snapshot, news.issues.values(), news.comments)
        self._take_note(snapshot, outbox.without_doubles(self._hub, self._path, recognition, found))

    def _say(self, recognition: outbox.Recognition, *, looked: bool) -> float:
        """Say what is due; seconds until there is more of it, infinite when all was said."""
        snapshot = self._store.read()
        said = Said()
        try:
            self._voice.say(snapshot, recognition, said)
        finally:
            self._take_note(snapshot, said.entries)
        if looked and math.isinf(said.more_in):
            self._say_progress(recognition)
        return said.more_in

    def _say_progress(self, recognition: outbox.Recognition) -> None:
        said = Said()
        try:
            self._voice.say_progress(self._store.read(), recognition, said)
        finally:
            # With the next push that is made for something else.
            self._notes.keep(said.entries, patient=True)

    def _take_note(self, snapshot: Snapshot, entries: Sequence[OutboxEntry]) -> None:
        """Keep what is out now. What does not land is found again by its marker."""
        stored = (outbox.load_entry(snapshot, layout.outbox_key(entry.number)) for entry in entries)
        shown = {(entry.number, entry.shown, entry.shown_at) for entry in stored if entry is not None}
        if any((entry.number, entry.shown, entry.shown_at) not in shown for entry in entries):
            # Somebody may approve of what is shown now, and it is judged by what is stored of it.
            self._push_at = float("-inf")
        self._notes.keep(entries)
        self._commit(snapshot, ())


def duties(post: Post) -> Sequence[Duty]:
    """The duties of a peer whose store is on GitHub. Raises store errors and `BadInput`."""
    environ = post.place.environ
    place = locate(post.place.url, environ)
    api = connect(place, ApiOptions(environ=environ))
    redactor = Redactor(secrets_of(environ))
    return [IssueDuty(post, api, place.path, Options.of(post.place.settings), redactor)]


def _stored_seen(snapshot: Snapshot) -> Seen:
    try:
        document = snapshot.get(layout.SEEN)
        return Seen() if document is None else Seen.load(layout.SEEN, document)
    except BadRecord as problem:
        log.warning("%s; reading everything that is open", problem)
        return Seen()
