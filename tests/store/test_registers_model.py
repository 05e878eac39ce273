"""Every interleaving of two or three actors on one register, run on the real code and a real file system.

An actor is a thread that stops before each step that others can see (rename, unlink, rmdir, list, open) and
goes on when the schedule says so. A depth-first search runs all schedules. Each history must be explained
by *some* order of whole operations that respects which ended before which began.
"""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sentinel.model.ids import IdSource
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Written
from sentinel.store.registers import Registers

NAME = "ab"
_local = threading.local()
Work = Callable[["Actor"], None]


class SteppedPath(type(Path())):  # type: ignore[misc]  # the class of this platform's paths
    """A path whose visible steps wait for the schedule; what nobody else can see yet is no step."""

    def _step(self) -> None:
        actor: Actor | None = getattr(_local, "actor", None)
        if actor is not None and "new" not in self.parts and self.name not in actor.private:
            actor.pause()

    def rename(self, target: Any) -> Any:
        target._step()
        return super().rename(target)

    def unlink(self, missing_ok: bool = False) -> None:
        self._step()
        super().unlink(missing_ok)

    def rmdir(self) -> None:
        self._step()
        super().rmdir()

    def iterdir(self) -> Any:
        if self.name != "values":  # the sweep finds nothing that is a day old
            self._step()
        return iter(list(super().iterdir()))

    def open(self, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if "x" in mode:
            _local.actor.private = {self.name}
        self._step()
        return super().open(mode, *rest, **named)


class Actor:
    """One thread that runs its operations step by step."""

    def __init__(self, work: Work, clock: Iterator[int]) -> None:
        self.calls: list[tuple[int, int, Any]] = []
        #: Files that this actor wrote and that no pointer names.
        self.private: set[str] = set()
        self.alive = True
        self.killed = False
        self._clock = clock
        self._began: list[int] = []
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._failure: BaseException | None = None
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        self._stopped.acquire()

    def step(self) -> None:
        """Take the next visible step, and go on to the one after it."""
        self._go.release()
        self._stopped.acquire()
        if self._failure is not None:
            raise self._failure

    def pause(self) -> None:
        """Called by the actor's own thread before a visible step."""
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed
        # What came before its first visible step had no effect, so the operation may as well begin here.
        self._began.append(next(self._clock))

    def record(self, call: Callable[[], Any]) -> None:
        """Run one operation, and note when it began and ended."""
        self._began.clear()
        self.private = set()
        result = call()
        ended = next(self._clock)
        self.calls.append((self._began[0] if self._began else ended, ended, result))

    def _run(self, work: Work) -> None:
        _local.actor = self
        try:
            work(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `step`
            self._failure = error
        finally:
            self.alive = False
            self._stopped.release()


class Killed(BaseException):
    """kill -9, as far as a thread can have it."""


class Op(NamedTuple):
    """What an actor does: publish ``document`` expecting ``expect``, or read."""

    document: Written | None
    expect: Expected | None


class Setting(NamedTuple):
    """A register's history before the race: the versions to race on, and its folder."""

    folder: Path
    versions: list[str]
    exists: bool


def prepare(folder: Path, before: Sequence[Written]) -> Setting:
    """Run ``before`` one after the other; each is published on the version that the one before made."""
    shutil.rmtree(folder, ignore_errors=True)
    registers = Registers(folder, IdSource(random.Random(1), lambda: 0.0))
    versions: list[str] = []
    expect: Expected = ABSENT
    for document in before:
        outcome = registers.publish(NAME, document, expect)
        assert isinstance(outcome, Committed)
        versions.append(outcome.revision)
        expect = ABSENT if document is DELETE else outcome.revision
    return Setting(folder, versions, bool(before) and before[-1] is not DELETE)


def schedules(run: Callable[[Sequence[int]], list[int]]) -> int:
    """Call ``run`` for every schedule: with a prefix; it gives how many actors could go at each step."""
    count = 0
    prefix: list[int] = []
    while True:
        choices = run(prefix)
        count += 1
        taken = prefix + [0] * (len(choices) - len(prefix))
        while taken and taken[-1] + 1 >= choices[len(taken) - 1]:
            taken.pop()
        if not taken:
            return count
        taken[-1] += 1
        prefix = taken


class Race:
    """Actors with their operations, from a prepared register."""

    def __init__(
        self, folder: Path, before: Sequence[Written], *actors: Sequence[Op], kill: bool = False
    ) -> None:
        self._folder = folder
        self._before = before
        self._ops = actors
        #: Each schedule is run once more for each step at which the first actor may be killed.
        self._kill = kill

    def explore(self) -> int:
        """Check every schedule; how many there were."""
        if not self._kill:
            return schedules(lambda prefix: self._run(prefix, None))
        total = 0
        for death in itertools.count():
            died: list[bool] = []
            total += schedules(lambda prefix, d=death, seen=died: self._run(prefix, d, seen))  # type: ignore[misc]
            if not any(died):
                return total
        raise AssertionError

    def _run(self, prefix: Sequence[int], death: int | None, died: list[bool] | None = None) -> list[int]:
        setting = prepare(self._folder, self._before)
        clock = itertools.count()
        actors = [Actor(self._work(number, ops, setting), clock) for number, ops in enumerate(self._ops)]
        choices: list[int] = []
        steps = 0
        while any(actor.alive for actor in actors):
            ready = [actor for actor in actors if actor.alive]
            choice = prefix[len(choices)] if len(choices) < len(prefix) else 0
            choices.append(len(ready))
            actor = ready[choice]
            if actor is actors[0]:
                actor.killed = steps == death
                steps += 1
            actor.step()
        if died is not None:
            died.append(actors[0].killed)
        self._judge(setting, actors, killed=actors[0].killed)
        return choices

    def _work(self, number: int, ops: Sequence[Op], setting: Setting) -> Work:
        def work(actor: Actor) -> None:
            registers = Registers(
                SteppedPath(setting.folder), IdSource(random.Random(number + 2), lambda: 0.0)
            )
            for op in ops:
                if op.document is None:
                    actor.record(lambda: registers.published().get(NAME))
                else:
                    document = op.document
                    expect = resolve(op.expect, setting)
                    assert expect is not None
                    actor.record(lambda d=document, e=expect: registers.publish(NAME, d, e))  # type: ignore[misc]

        return work

    def _judge(self, setting: Setting, actors: Sequence[Actor], *, killed: bool) -> None:
        history: list[Call] = []
        for ops, actor in zip(self._ops, actors, strict=True):
            calls = actor.calls + [(0, 10**9, UNKNOWN)] * (len(ops) - len(actor.calls))
            assert killed or len(calls) == len(actor.calls), "an operation did not end"
            for op, (begun, ended, result) in zip(ops, calls, strict=True):
                history.append(Call(op, resolve(op.expect, setting), begun, ended, result))
        registers = Registers(setting.folder, IdSource(random.Random(99), lambda: 0.0))
        last = registers.published().get(NAME)
        history.append(Call(Op(None, None), None, 10**9, 10**9 + 1, last))
        initial = (setting.versions[-1], self._before[-1]) if setting.exists else None
        assert explained(history, initial), history


UNKNOWN = object()


class Call(NamedTuple):
    """One operation of a history; ``result`` is UNKNOWN when its actor was killed in it."""

    op: Op
    expect: Expected | None
    begun: int
    ended: int
    result: Any


def resolve(expect: Expected | None, setting: Setting) -> Expected | None:
    """``#n`` stands for the version that the n-th operation before the race made."""
    return setting.versions[int(expect[1:])] if isinstance(expect, str) else expect


def explained(history: Sequence[Call], state: tuple[str, Written] | None) -> bool:
    """Whether some order of whole operations gives these results (linearizability, by trying)."""
    if not history:
        return True
    horizon = min(call.ended for call in history)
    for index, call in enumerate(history):
        if call.begun > horizon:
            continue
        rest = [*history[:index], *history[index + 1 :]]
        for after in effects(call, state):
            if explained(rest, after):
                return True
        if call.result is UNKNOWN and explained(rest, state):
            return True
    return False


def effects(call: Call, state: tuple[str, Written] | None) -> Iterator[tuple[str, Written] | None]:
    """The states after ``call``, if its result fits ``state``."""
    if call.op.document is None:
        seen = call.result
        if (seen is None and state is None) or (seen is not None and state is not None and same(seen, state)):
            yield state
        return
    fits = (ABSENT if state is None else state[0]) == call.expect
    if isinstance(call.result, Conflicted):
        if not fits:
            yield state
    elif fits:
        if call.op.document is DELETE:
            yield None
        else:
            version = "?" if call.result is UNKNOWN else call.result.revision
            yield (version, call.op.document)


def same(seen: Any, state: tuple[str, Written]) -> bool:
    """Whether a register as read shows ``state``; a killed writer took its version's name with it."""
    assert isinstance(state[1], dict)
    return state[0] in ("?", seen.version) and seen.document == {"format": 1, **state[1]}


READ = Op(None, None)
V1: dict[str, Any] = {"seq": 1}


def beat(expect: Expected, by: str) -> Op:
    return Op({"by": by}, expect)


RACES: dict[str, tuple[list[Written], list[list[Op]]]] = {
    "two beats on one version": ([V1], [[beat("#0", "a")], [beat("#0", "b")]]),
    "three beats on one version": ([V1], [[beat("#0", "a")], [beat("#0", "b")], [beat("#0", "c")]]),
    "two creations": ([], [[beat(ABSENT, "a")], [beat(ABSENT, "b")]]),
    "two creations over a deleted one": ([V1, DELETE], [[beat(ABSENT, "a")], [beat(ABSENT, "b")]]),
    "a beat and a reader": ([V1], [[beat("#0", "a")], [READ, READ]]),
    "a beat and a deletion": ([V1], [[beat("#0", "a")], [Op(DELETE, "#0")], [READ]]),
    "a deletion and a creation": ([V1], [[Op(DELETE, "#0")], [beat(ABSENT, "b")], [READ]]),
    "a deletion, a creation and a stale beat": (
        [V1],
        [[Op(DELETE, "#0")], [beat(ABSENT, "b")], [beat("#0", "stale")]],
    ),
    "a beat on a version from two beats ago": ([V1, V1, V1], [[beat("#0", "stale")], [beat("#2", "b")]]),
    "two deletions and a creation": ([V1], [[Op(DELETE, "#0")], [Op(DELETE, "#0")], [beat(ABSENT, "b")]]),
    "a deletion that expects absence, and a creation": ([], [[Op(DELETE, ABSENT)], [beat(ABSENT, "b")]]),
}


@pytest.mark.parametrize("name", RACES)
def test_every_interleaving_has_an_explanation(name: str, tmp_path: Path) -> None:
    before, actors = RACES[name]
    assert Race(tmp_path / "host", before, *actors).explore() > 1


@pytest.mark.parametrize("name", [name for name in RACES if len(RACES[name][1]) == 2])
def test_a_writer_killed_before_any_of_its_steps_leaves_a_register_that_goes_on_working(
    name: str, tmp_path: Path
) -> None:
    before, actors = RACES[name]
    assert Race(tmp_path / "host", before, *actors, kill=True).explore() > 1
