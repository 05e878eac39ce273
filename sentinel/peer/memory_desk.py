"""The daemon's desk for shared memory: serves the tasks of one incarnation through a Unix socket.

A thread of its own, with a connection to the store that is opened when the first task asks for something. All
writes that wait when it looks land in one commit. Each is fenced: it expects the incarnation's record and the
task's claim, so what a task writes that was lost, or taken over, bounces.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sentinel.clock import Clock
from sentinel.errors import BadInput, ClaimLost, SentinelError, StoreError
from sentinel.fleet.memory_writing import Asked, Ended
from sentinel.fleet.shared_memory import MemoryOptions, SharedMemory
from sentinel.model.evolve import evolve
from sentinel.model.ids import IdSource
from sentinel.model.memory import Entry
from sentinel.model.task import Fence
from sentinel.peer.desk import Desk, NoDesk
from sentinel.peer.errands import PATIENCE, Errands, NoTurn
from sentinel.peer.memory_requests import Request, refusal, reply
from sentinel.peer.memory_sessions import Session, Sessions
from sentinel.peer.run.memory import SOCKET, TOKEN
from sentinel.peer.run.spec import RunSpec
from sentinel.store.base import Store
from sentinel.store.transact import Transactor

log = logging.getLogger(__name__)

#: Seconds between two looks for a watch when nothing tells of changes.
_WATCH_EVERY = 5.0
#: Seconds before what is queued is tried again on a store that is away.
_TRY_AGAIN = 1.0
#: Seconds that closing waits for a request that is being served.
_CLOSE_PATIENCE = 2.0


def open_desk(
    *,
    folder: Path,
    worker: str,
    options: MemoryOptions,
    open_store: Callable[[], Store],
    transactor: Callable[[Store], Transactor],
    clock: Clock,
    ids: IdSource,
    errands: Errands | None = None,
) -> Desk:
    """The desk of a real daemon, with its socket in ``folder``; one that serves nobody if that cannot be.

    With ``errands`` it writes by those alone, when they will go soon.
    """
    path = folder / "memory.sock"
    try:
        sessions = Sessions(path)
    except OSError as error:
        log.warning("%s: %s; tasks have no shared memory", path, error.strerror)
        return NoDesk()

    def open_memory() -> _Opened:
        store = open_store()
        sender = transactor(store)
        if errands is None:
            return _Opened(store, SharedMemory(sender, options))
        sender = dataclasses.replace(sender, send=errands.commit, patience=PATIENCE)
        return _Opened(store, SharedMemory(sender, options, stretched=errands.stretched))

    desk = MemoryDesk(
        sessions,
        path=path,
        worker=worker,
        open_memory=open_memory,
        clock=clock,
        ids=ids,
        wait=errands.wait if errands is not None else lambda: 0.0,
    )
    desk.start()
    return desk


class _Opened:
    """Shared memory with the connection that it uses."""

    def __init__(self, store: Store, memory: SharedMemory) -> None:
        self.store = store
        self.memory = memory


class MemoryDesk:
    """Serves ``sessions`` in a thread of its own. Opened by `open_desk`."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        path: Path,
        worker: str,
        open_memory: Callable[[], _Opened],
        clock: Clock,
        ids: IdSource,
        wait: Callable[[], float] = lambda: 0.0,
    ) -> None:
        # Seconds until it may write.
        self._wait = wait
        #: Whether a request waits for that.
        self._held = False
        self._sessions = sessions
        self._socket = str(path)
        self._worker = worker
        self._open_memory = open_memory
        self._clock = clock
        self._ids = ids
        self._mutex = threading.Lock()
        #: Token → claim, and when it was admitted.
        self._admitted: dict[str, tuple[Fence, float]] = {}
        #: Claim → its token.
        self._tokens: dict[Fence, str] = {}
        self._over: list[Fence] = []
        self._stopping = False
        #: Whether a watch waits.
        self._watched = False
        self._opened: _Opened | None = None
        self._look_at = 0.0
        self._try_at = 0.0
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    # -- what the daemon's other threads do ------------------------------------------------------------

    def admit(self, spec: RunSpec, fence: Fence) -> RunSpec:
        token = self._ids.nonce()
        with self._mutex:
            self._admitted[token] = (fence, self._clock.now())
            self._tokens[fence] = token
        return evolve(spec, own={**spec.own, SOCKET: self._socket, TOKEN: token})

    def dismiss(self, fence: Fence) -> None:
        with self._mutex:
            self._admitted.pop(self._tokens.pop(fence, ""), None)
            if self._opened is not None:
                self._over.append(fence)
        if self._over:
            self._sessions.rouse()

    def stir(self) -> None:
        if self._watched:
            self._look_at = 0.0
            self._sessions.rouse()

    def close(self) -> None:
        self._stopping = True
        self._sessions.rouse()
        self._thread.join(_CLOSE_PATIENCE)

    # -- the desk's own thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._sessions.wait(self._pause())
                self._drop_what_is_over()
                self._serve()
                self._look_for_watches()
                self._flush_if_due()
        finally:
            self._sessions.close()
            if self._opened is not None:
                self._opened.store.close()

    def _pause(self) -> float | None:
        times = [session.watch[1] for session in self._sessions if session.watch is not None]
        if times:
            times.append(self._look_at)
        due = None if self._opened is None else self._opened.memory.due
        if due is not None or self._held:
            may = self._clock.now() + self._wait()
            times.append(may if self._held else max(due or 0.0, self._try_at, may))
        return max(0.0, min(times) - self._clock.now()) if times else None

    # -- requests --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer whoever waits; writes all together."""
        writes: list[tuple[Session, bytes, Asked]] = []
        self._held, early = False, self._wait() > 0
        for session in self._sessions:
            line = session.next_line()
            if line is None:
                continue
            try:
                request = Request.read(line)
                fence, begun = self._claim(request)
                if self._would_write(request) and (early or not self._clear(request)):
                    self._hold(session, line)
                elif request.call == "write" and not request.dry_run():
                    writes.append((session, line, self._asked(request, fence)))
                elif request.call == "changes":
                    session.watch = (request, self._clock.now() + request.timeout())
                    self._look_at = 0.0
                else:
                    self._sessions.send(session, reply(partial(self._answer, request, fence, begun)))
            except SentinelError as error:
                self._sessions.send(session, refusal(error))
        if writes:
            self._write(writes)

    def _hold(self, session: Session, line: bytes) -> None:
        """A request waits until something may be written."""
        session.put_back(line)
        self._held = True

    def _clear(self, request: Request) -> bool:
        """Land what is queued before something is read that it may change; False without a turn for that."""
        if request.call != "write":
            try:
                self._memory().flush()
            except NoTurn:
                return False
        return True

    def _would_write(self, request: Request) -> bool:
        """Whether serving it sends something to the store. What is read is what was queued before."""
        if request.call == "write":
            return not request.dry_run()
        if self._opened is None or self._opened.memory.due is None:
            return False
        if request.call == "read":
            return self._opened.memory.queued(request.namespace(), request.key())
        return request.call in ("scan", "flush")

    def _claim(self, request: Request) -> tuple[Fence, float]:
        with self._mutex:
            found = self._admitted.get(request.token)
        if found is None:
            raise ClaimLost("this process works for no task that this worker runs")
        return found

    def _asked(self, request: Request, fence: Fence) -> Asked:
        return Asked(request.wish(f"{fence.task} epoch {fence.epoch} on {self._worker}"), fence)

    def _write(self, writes: list[tuple[Session, bytes, Asked]]) -> None:
        ended: list[Ended]
        try:
            ended = self._memory().write_many([asked for _, _, asked in writes])
        except NoTurn:
            for session, line, _ in writes:
                self._hold(session, line)
            return
        except StoreError as error:
            ended = [error] * len(writes)
        for (session, _, _), end in zip(writes, ended, strict=True):
            self._sessions.send(
                session,
                refusal(end) if isinstance(end, SentinelError) else reply(partial(_row, end)),
            )

    def _answer(self, request: Request, fence: Fence, begun: float) -> Any:
        memory = self._memory()
        if request.call == "read":
            found = memory.read(request.namespace(), request.key(), self._age(request, begun))
            return _row(found)
        if request.call == "scan":
            entries = memory.scan(request.any_namespace(), request.prefix(), self._age(request, begun))
            return [entry.row() for entry in entries]
        if request.call == "write":
            found = memory.write(self._asked(request, fence), dry_run=True)
            return _row(found)
        if request.call == "queue":
            memory.queue(self._asked(request, fence))
            return None
        if request.call == "flush":
            memory.flush()
            return [str(dropped.why) for dropped in memory.take_dropped(fence)]
        if request.call == "stats":
            return memory.stats.row()
        raise BadInput("shared memory has no such call")

    def _age(self, request: Request, begun: float) -> float:
        """How old a read may be: never older than the task, which may follow one that wrote what it reads."""
        asked = request.max_age()
        usual = self._memory().usual_age if asked is None else asked
        return min(usual, self._clock.now() - begun)

    def _memory(self) -> SharedMemory:
        if self._opened is None:
            self._opened = self._open_memory()
        return self._opened.memory

    # -- what takes time -------------------------------------------------------------------------------

    def _look_for_watches(self) -> None:
        waiting = [session for session in self._sessions if session.watch is not None]
        self._watched = bool(waiting)
        now = self._clock.now()
        look = now >= self._look_at
        if look:
            self._look_at = now + _WATCH_EVERY
        for session in waiting:
            assert session.watch is not None
            request, until = session.watch
            if not look and now < until:
                continue
            if self._memory().due is not None and self._wait() > 0:
                # What is queued lands first, and cannot yet.
                if now >= until:
                    session.watch = None
                    self._sessions.send(session, _NOTHING)
                continue
            line = reply(partial(self._differences, request))
            if now >= until or line != _NOTHING:
                session.watch = None
                self._sessions.send(session, line)

    def _differences(self, request: Request) -> list[dict[str, Any]]:
        self._claim(request)
        found = self._memory().differences(
            request.namespace(), request.any_key(), request.prefix(), request.known()
        )
        return [change.row() for change in found]

    def _flush_if_due(self) -> None:
        due = None if self._opened is None else self._opened.memory.due
        if due is None or self._clock.now() < max(due, self._try_at) or self._wait() > 0:
            return
        try:
            self._memory().flush()
        except StoreError as error:
            log.warning("what is queued for shared memory waits: %s", error)
            self._try_at = self._clock.now() + _TRY_AGAIN

    def _drop_what_is_over(self) -> None:
        with self._mutex:
            over, self._over = self._over, []
        for fence in over:
            self._memory().drop(fence)


def _row(entry: Entry | None) -> dict[str, Any] | None:
    return None if entry is None else entry.row()


_NOTHING = reply(list)
