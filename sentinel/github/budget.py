"""What GitHub allows, shared out: from limits and fleet to intervals, and to what they will cost. Pure.

**github://** State and sessions go by git, and pushes are what is scarce: six a minute to one repository, all
peers together. Most of them are dealt out as turns, evenly over the wall clock. What a worker has to change
meanwhile waits for its turn and goes as one push, which takes the beat along; without anything to change it
is the beat alone. The rest is left for intake, people's commands and takeovers. So the interval between two
beats grows with the fleet, and the announced session TTL with it, in the proportion that is configured.

**github+api://** Everything is a request, and all peers with one token share its hour. A peer looks once for
each beat; what that costs all peers together must fit into what is left of the hour.

Issues are read and answered by the API in both cases: intake and mirror get a share of the hour, and never
more content than an hour may have.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from sentinel.fleet.pacing import Forecast, Rhythm, Seen, Turn
from sentinel.fleet.retention import STEP
from sentinel.model.lease import LeaseTimes
from sentinel.model.retention import PERIOD, Terms

Kind = Literal["github", "github+api"]

#: Part of a limit that is planned with; what is left is for people, retries and what nobody foresaw.
PLANNED = 0.8
#: Part of the pushes that are dealt out as turns. So few that no sixty seconds have more than five of them,
#: even when a push is late, and intake's push makes six.
PLANNED_PUSHES = 0.7
#: Parts of a worker's turn: in which it begins to push what it has to change, and after which it beats if no
#: beat was taken along.
_CHANGE, _BEAT = 0.3, 0.5
#: A round is never shorter than so many turns, however few workers there are: the rest is theirs to beat.
_SHORTEST_ROUND = 1.5
_NEARLY = 1.25
#: Shortest pause between two looks of a peer by git, in seconds, and the part of the reads that looks get.
_LOOK_PAUSE = 5.0
_LOOK_SHARE = 1 / 3
#: Seconds that a look takes, about; the next pause begins after it.
_LOOK_TAKES = 0.5
#: Longest interval between two beats that is announced, whatever is left of the hour, in seconds.
LONGEST_INTERVAL = 3600.0
#: Part of the pushes that joins get while a fleet gathers, for which the turns make room; what one join is.
_JOIN_SHARE, _JOIN_PUSHES = 1 / 3, 2.0
#: Part of the points that joins get where everything is a request, and what one join costs of them.
_JOIN_POINTS_SHARE, _JOIN_POINTS = 1 / 3, 40.0
#: Part of the pushes that intake and mirror get, which have no turns.
_ISSUE_PUSHES = 1 / 6
#: Part of the hour that intake gets at most.
_INTAKE_SHARE = 0.2
#: Parts of the hour that showing tasks gets, and that showing how far they are gets besides.
_MIRROR_SHARE: Mapping[Kind, float] = {"github": 0.7, "github+api": 0.2}
_PROGRESS_SHARE = 0.1
#: Part of the hour that beats and looks get on ``github+api``; the other is for the work itself.
_ROUNDS_SHARE = 0.5
#: Part of it that writes of shared memory get there at most.
_MEMORY_SHARE = 0.2
#: Seconds for which ended tasks are kept unless it is configured otherwise: so long marks go on after them.
_KEPT = 7 * 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """GitHub's limits; the defaults are the published ones. Infinity stands for none."""

    #: Recommended for one repository, whoever pushes.
    pushes_a_minute: float = 6.0
    reads_a_second: float = 15.0
    #: Of one token; GitHub says how many in each answer.
    requests_an_hour: float = 5000.0
    points_a_minute: float = 900.0
    contents_a_minute: float = 80.0
    contents_an_hour: float = 500.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What is left of a token's hour, as GitHub said last."""

    remaining: float
    #: Seconds until the hour begins anew.
    reset_in: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MirrorShare:
    """What showing tasks on GitHub may cost in an hour."""

    requests: float
    #: Comments that are made.
    contents: float
    #: Requests besides, for telling how far running tasks are.
    progress: float


UNLIMITED = MirrorShare(requests=math.inf, contents=math.inf, progress=math.inf)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiCosts:
    """Charged requests of the API store, as metered; see `docs/github-limits.md`."""

    #: One beat.
    beat: float = 2.0
    #: One look at the sessions, and reading one of them that has changed. A state that did not move is free.
    look: float = 1.0
    session: float = 1.0
    #: Reading a state that has moved.
    moved: float = 2.8
    #: One commit of any number of transactions, and storing the outputs of one task.
    commit: float = 3.0
    outputs: float = 3.0
    #: Looks of a worker that one task wakes it for.
    wakes: float = 1.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IssueCosts:
    """What intake and mirror cost, as metered; see `docs/github-limits.md`."""

    #: Requests of a round of intake that finds something new; one that finds nothing is free (304).
    round: float = 2.0
    #: Rounds to which one task is news: it is taken in, shown, changed and shown again, and each look reaches
    #: back a little.
    news: float = 10.0
    #: Rounds in which something of it is stored.
    stored: float = 4.5
    #: Requests of taking in one issue.
    taken: float = 1.0
    #: Requests of showing its task at every step until it is closed, and those of them that write.
    shown: float = 10.0
    writes: float = 9.0


API = ApiCosts()
ISSUES = IssueCosts()


def requests_an_hour(allowed: Allowance, credit: Credit | None) -> float:
    """Requests an hour that may be planned with until the hour begins anew.

    As many as the limit gives, or fewer when others have used the token: what is left is spread over what is
    left of the hour, so that it is not gone before.
    """
    most = PLANNED * allowed.requests_an_hour
    if credit is None or math.isinf(most):
        return most
    return min(most, PLANNED * credit.remaining * 3600.0 / max(credit.reset_in, 1.0))


def rhythm(
    kind: Kind, base: LeaseTimes, seen: Seen, allowed: Allowance, credit: Credit | None = None
) -> Rhythm:
    """How one worker goes on. ``base`` are the configured times, which are never shortened."""
    if kind == "github":
        return _by_turns(base, seen, allowed)
    joins = 60.0 * _JOIN_POINTS / (_JOIN_POINTS_SHARE * allowed.points_a_minute)
    return dataclasses.replace(_by_requests(base, seen, requests_an_hour(allowed, credit)), joins=joins)


def _by_turns(base: LeaseTimes, seen: Seen, allowed: Allowance) -> Rhythm:
    looks = _LOOK_SHARE * allowed.reads_a_second
    poll = max(_LOOK_PAUSE, seen.workers / looks)
    planned = PLANNED_PUSHES * allowed.pushes_a_minute
    if math.isinf(planned):
        return Rhythm(times=base, poll=poll)
    joining = _JOIN_SHARE * allowed.pushes_a_minute
    # Sessions of `locks run` beat as their users wish; they, and joins, never get more than half.
    a_minute = planned / 2 if seen.gathering else max(planned / 2, planned - seen.other_beats)
    turn = 60.0 / a_minute
    every = turn * max(seen.workers, _SHORTEST_ROUND)
    times = stretched(base, every)
    if every < times.interval < _NEARLY * every:
        # Two rounds of nearly the same length would come into each other's way.
        every = times.interval
    mine = seen.place / seen.workers
    return Rhythm(
        times=times,
        poll=poll,
        beat=Turn(every=times.interval, offset=times.interval * mine + _BEAT * turn, lasts=0.05 * turn),
        push=Turn(every=every, offset=every * mine, lasts=_CHANGE * turn),
        joins=60.0 * _JOIN_PUSHES / joining,
    )


def _by_requests(base: LeaseTimes, seen: Seen, an_hour: float) -> Rhythm:
    if math.isinf(an_hour):
        return Rhythm(times=base, poll=base.poll(remote=True))
    a_round = seen.workers * (API.beat + API.look + API.moved + API.session * seen.workers)
    interval = 3600.0 * a_round / max(_ROUNDS_SHARE * an_hour, 1.0)
    times = stretched(base, min(interval, LONGEST_INTERVAL))
    return Rhythm(
        times=times,
        poll=max(times.interval, base.poll(remote=True)),
        errands=_errands(seen.workers, an_hour),
        beat=Turn(
            every=times.interval,
            offset=times.interval * seen.place / seen.workers,
            lasts=times.interval / seen.workers / 2,
        ),
    )


def _errands(workers: int, an_hour: float) -> float:
    """Seconds between two writes of shared memory by one of so many workers, all of which read it then."""
    each = API.commit + workers * API.moved
    return min(3600.0 * workers * each / max(_MEMORY_SHARE * an_hour, 1.0), LONGEST_INTERVAL)


def stretched(base: LeaseTimes, interval: float) -> LeaseTimes:
    """The times with at least ``interval`` seconds between two beats, and the TTL in proportion."""
    if interval <= base.interval:
        return base
    # Three intervals are allowed and two floating point numbers below them are not.
    return LeaseTimes(interval, max(interval * base.stale / base.interval, 3 * interval))


def push_pause(allowed: Allowance) -> float:
    """Least seconds between two pushes of intake and mirror together; zero where pushes are not limited."""
    return 60.0 / (_ISSUE_PUSHES * allowed.pushes_a_minute)


def intake_pause(allowed: Allowance, an_hour: float) -> float:
    """Seconds between two rounds of intake, when ``an_hour`` requests may be planned with.

    A round may end in a push, whatever the kind of store, and asks for two lists.
    """
    most = max(_INTAKE_SHARE * an_hour, 1.0)
    return max(push_pause(allowed), min(3600.0 * ISSUES.round / most, LONGEST_INTERVAL))


def mirror_share(kind: Kind, allowed: Allowance, an_hour: float) -> MirrorShare:
    """What showing tasks may cost when ``an_hour`` requests may be planned with."""
    return MirrorShare(
        requests=_MIRROR_SHARE[kind] * an_hour,
        contents=PLANNED * min(allowed.contents_an_hour, 60.0 * allowed.contents_a_minute),
        progress=_PROGRESS_SHARE * an_hour,
    )


def forecast(
    kind: Kind,
    base: LeaseTimes,
    *,
    workers: int,
    tasks_an_hour: float = 0.0,
    outputs: float = 1.0,
    allowed: Allowance,
) -> Forecast:
    """What a fleet will send. ``outputs`` is the part of the tasks that write anything."""
    seen = Seen(workers=workers, place=0)
    found = rhythm(kind, base, seen, allowed)
    rounds = 3600.0 / max(intake_pause(allowed, requests_an_hour(allowed, None)), 1.0)
    news = rounds * _some(ISSUES.news * tasks_an_hour / rounds)
    share = mirror_share(kind, allowed, requests_an_hour(allowed, None))
    contents, shown, writes = _shown(tasks_an_hour, share)
    requests = ISSUES.round * news + ISSUES.taken * tasks_an_hour + shown
    # A round that finds nothing is free of charge, and a point all the same.
    points = (requests + (rounds - news) + 4 * writes) / 60
    beats = workers * 3600.0 / found.times.interval
    state = tasks_an_hour * (2 + outputs) + retention_commits(tasks_an_hour)
    if found.push is not None:
        turns = workers * 3600.0 / found.push.every
        used = _some(state / turns)
        # A push of a change takes the beat along.
        state, beats = turns * used, beats * (1 - used)
    state += rounds * _some(ISSUES.stored * tasks_an_hour / rounds)
    looks = workers * 3600.0 / (found.poll + _LOOK_TAKES)
    if kind == "github+api":
        looks += API.wakes * tasks_an_hour
        # Each worker reads the state for its looks, and once a round to see who deals with the issues.
        readers = looks * _some(state * found.poll / 3600.0) + workers * rounds * _some(state / rounds)
        writes = beats * API.beat + state * API.commit + tasks_an_hour * outputs * API.outputs
        reads = looks * (API.look + workers * API.session) + readers * API.moved
        requests += writes + reads
        points += (5 * writes + reads) / 60
    by_git = kind == "github"
    return Forecast(
        kind=kind,
        workers=workers,
        tasks_an_hour=tasks_an_hour,
        rhythm=found,
        pushes_a_minute=(beats + state) / 60 if by_git else 0.0,
        reads_a_second=looks / 3600 if by_git else 0.0,
        requests_an_hour=requests,
        points_a_minute=points,
        contents_an_hour=contents,
        limits=dataclasses.asdict(allowed),
    )


def retention_commits(tasks_an_hour: float) -> float:
    """Commits an hour by which marks are made, and by which what is over is condemned and then removed.

    In a fleet that goes on like this for as long as tasks are kept, as many go as come. One without tasks
    makes no marks.
    """
    marks = 3600.0 / PERIOD
    over = tasks_an_hour / marks
    steps = _some(over) * (1.0 + max(1.0, over / STEP))
    return marks * (_some(over * Terms(seconds=_KEPT, count=0).marks) + steps)


def _shown(tasks_an_hour: float, share: MirrorShare) -> tuple[float, float, float]:
    """Comments, requests, and writes among these, of showing so many tasks an hour."""
    # What is left out first are the steps between its beginning and its end.
    requests = min(ISSUES.shown * tasks_an_hour, share.requests)
    return min(tasks_an_hour, share.contents), requests, requests * ISSUES.writes / ISSUES.shown


def _some(expected: float) -> float:
    """The chance of at least one of ``expected`` events that know nothing of each other."""
    return 1.0 - math.exp(-expected)
