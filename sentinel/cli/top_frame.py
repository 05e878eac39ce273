"""One frame of ``sentinel cluster top``: from what was read and what the person chose to lines of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from sentinel.cli.ending import plain
from sentinel.client.fleetwide import Health
from sentinel.fleet.metrics import WorkerMetrics

#: What can be sorted by → the key, and whether the largest stand first.
SORTS: Mapping[str, tuple[Callable[[WorkerMetrics], Any], bool]] = {
    "load": (lambda worker: worker.utilization, True),
    "worker": (lambda worker: worker.id, False),
    "status": (lambda worker: (worker.healthy, worker.status), False),
    "done": (lambda worker: worker.tasks_done, True),
    "failed": (lambda worker: worker.tasks_failed, True),
    "crashes": (lambda worker: worker.crashes, True),
}
#: Which workers can be shown → whether one is among them.
SHOWS: Mapping[str, Callable[[WorkerMetrics], bool]] = {
    "all": lambda worker: worker.id != "",
    "healthy": lambda worker: worker.healthy,
    "busy": lambda worker: worker.active_tasks > 0,
    "problems": lambda worker: worker.expected and not worker.healthy,
}

_STYLES = {
    "online": "green",
    "busy": "cyan",
    "draining": "yellow",
    "cordoned": "yellow",
    "stale": "red",
    "error": "red",
    "offline": "dim",
    "healthy": "bold green",
    "degraded": "bold yellow",
    "down": "bold red",
}
#: Loads from which on a bar is yellow, and red.
_WARM, _HOT = 0.7, 0.9
#: Conditions that are shown at most; of more, only how many.
_CONDITIONS = 3
#: Longest text that can be searched for.
_MAX_TEXT = 40


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the person at the keyboard chose."""

    sort: str = "load"
    reverse: bool = False
    show: str = "all"
    #: Only workers whose id, region or role holds this.
    text: str = ""
    #: Whether keys go into ``text`` now.
    typing: bool = False
    #: How many rows are scrolled past.
    offset: int = 0
    quit: bool = False

    def press(self, key: str) -> Choice:
        """The choice after a key: a character, ``up``, ``down``, ``enter``, ``escape`` or ``backspace``."""
        if self.typing:
            return self._typed(key)
        match key:
            case "q" | "Q" | "\x03":
                return dataclasses.replace(self, quit=True)
            case "s":
                return dataclasses.replace(self, sort=_next(SORTS, self.sort), reverse=False, offset=0)
            case "r":
                return dataclasses.replace(self, reverse=not self.reverse, offset=0)
            case "f":
                return dataclasses.replace(self, show=_next(SHOWS, self.show), offset=0)
            case "/":
                return dataclasses.replace(self, typing=True, text="", offset=0)
            case "escape":
                return dataclasses.replace(self, text="", show="all", offset=0)
            case "down" | "j":
                return dataclasses.replace(self, offset=self.offset + 1)
            case "up" | "k":
                return dataclasses.replace(self, offset=max(0, self.offset - 1))
        return self

    def _typed(self, key: str) -> Choice:
        if key == "\x03":
            return dataclasses.replace(self, quit=True)
        if key == "enter":
            return dataclasses.replace(self, typing=False)
        if key == "escape":
            return dataclasses.replace(self, typing=False, text="")
        if key == "backspace":
            return dataclasses.replace(self, text=self.text[:-1])
        if len(key) == 1 and key.isprintable() and len(self.text) < _MAX_TEXT:
            return dataclasses.replace(self, text=self.text + key)
        return self

    def of(self, workers: Sequence[WorkerMetrics]) -> list[WorkerMetrics]:
        """The workers that were chosen, in the order that was chosen."""
        wanted = self.text.lower()
        found = [
            worker
            for worker in workers
            if SHOWS[self.show](worker)
            and (not wanted or any(wanted in (text or "").lower() for text in _searched(worker)))
        ]
        key, descending = SORTS[self.sort]
        found.sort(key=lambda worker: worker.id)
        found.sort(key=key, reverse=descending is not self.reverse)
        return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What the frame is drawn on."""

    width: int = 80
    #: None for as many lines as it takes, without a line about keys.
    height: int | None = None
    #: Whether it can show more than ASCII.
    blocks: bool = True


def frame(health: Health, choice: Choice, surface: Surface, *, store: str, note: str = "") -> list[Text]:
    """The lines of one frame, none wider than the surface and not more than it is high.

    ``note`` is what is wrong with the board itself, such as a store that does not answer.
    """
    head = [_title(health, store, surface), *_summary(health), *_conditions(health, surface)]
    if note:
        head.append(Text(plain(note), style="bold red"))
    workers = choice.of(health.metrics.workers)
    columns = _columns(surface)
    lines = [*head, Text(""), _headings(columns, workers, surface, choice)]
    if surface.height is None:
        lines += [_row(columns, worker, workers, surface) for worker in workers]
    else:
        room = max(1, surface.height - len(lines) - 1)
        first = min(choice.offset, max(0, len(workers) - room))
        shown = workers[first : first + room]
        lines += [_row(columns, worker, workers, surface) for worker in shown]
        lines += [Text("") for _ in range(room - len(shown))]
        lines = [*lines[: surface.height - 1], _keys(choice, len(workers), first, len(shown))]
    for line in lines:
        line.truncate(surface.width, overflow="ellipsis" if surface.blocks else "crop")
        line.no_wrap = True
    return lines


def bar(load: float, width: int, *, blocks: bool) -> Text:
    """A load of 0 to 1, or more, as a bar and a number."""
    full = max(0, min(width, round(load * width)))
    on, off = ("█", "░") if blocks else ("#", ".")
    style = "red" if load >= _HOT else "yellow" if load >= _WARM else "green"
    return Text.assemble((on * full, style), (off * (width - full), "dim"), f"{load:>5.0%}")


def _title(health: Health, store: str, surface: Surface) -> Text:
    at = f"{health.metrics.timestamp[11:19]}Z"
    room = max(8, surface.width - len(f"Task Sentinel    {health.verdict}  {at}"))
    name = store if len(store) <= room else f"...{store[3 - room :]}"
    left = Text.assemble(("Task Sentinel", "bold"), f"  {plain(name)}  ")
    left.append(health.verdict, style=_STYLES[health.verdict])
    left.append(" " * max(1, surface.width - left.cell_len - len(at)))
    return left.append(at)


def _summary(health: Health) -> Iterator[Text]:
    metrics = health.metrics
    tasks, states = metrics.tasks, metrics.tasks.by_state
    queue = "  ".join(f"{name} {count}" for name, count in tasks.queue_by_priority.items())
    rate = "" if tasks.success_rate is None else f" ({tasks.success_rate:.0%} well)"
    conflicts = sum(lock.conflicts for lock in metrics.locks)
    held = sum(lock.held for lock in metrics.locks)
    yield Text(
        f"workers  {len(metrics.healthy)}/{len(metrics.expected)} healthy   "
        f"slots {metrics.used}/{metrics.capacity} ({metrics.utilization:.0%})   "
        f"running {states['running']}   blocked {states['blocked']}"
    )
    yield Text(f"queue    {tasks.queue_length}: {queue}")
    failed = states["failed"] + states["dead"]
    yield Text(f"ended    {states['done']} done  {failed} failed{rate}   failovers {metrics.failovers}")
    yield Text(
        f"locks    {held} held  {conflicts} conflicts   claims {metrics.counts.claimed}, "
        f"{metrics.counts.lost_claims} lost to another"
    )


def _conditions(health: Health, surface: Surface) -> Iterator[Text]:
    for condition in health.conditions[:_CONDITIONS]:
        style = "red" if condition.severity == "critical" else "yellow"
        yield Text.assemble((f"{condition.severity:<8} ", style), plain(condition.message))
    more = len(health.conditions) - _CONDITIONS
    if more > 0:
        yield Text(f"         and {more} more: sentinel cluster health"[: surface.width])


#: Heading → its width (None for what is left), and the cell.
_Columns = Mapping[str, tuple[int | None, Callable[[WorkerMetrics], str | Text]]]


def _columns(surface: Surface) -> _Columns:
    narrow = surface.width < 80
    length = 5 if narrow else 10
    columns: dict[str, tuple[int | None, Callable[[WorkerMetrics], str | Text]]] = {
        "WORKER": (None, lambda worker: worker.id),
        "STATUS": (8, lambda worker: Text(worker.status, style=_STYLES[worker.status])),
        "LOAD": (length + 5, lambda worker: bar(worker.utilization, length, blocks=surface.blocks)),
        "TASKS": (7, lambda worker: f"{worker.active_tasks}/{worker.max_tasks}"),
    }
    if not narrow:
        columns["CPU"] = (4, lambda worker: _percent(worker.cpu_percent))
        columns["MEM"] = (4, lambda worker: _percent(worker.memory_percent))
        columns["DONE"] = (6, lambda worker: str(worker.tasks_done))
        columns["FAILED"] = (6, lambda worker: str(worker.tasks_failed))
    if surface.width >= 100:
        columns["LOST"] = (5, lambda worker: str(worker.lost_claims))
        columns["CRASHES"] = (7, lambda worker: str(worker.crashes))
        columns["BEAT"] = (8, lambda worker: _seconds(worker.seconds_since_heartbeat))
    if surface.width >= 130:
        columns["DISK"] = (4, lambda worker: _percent(worker.disk_percent))
        columns["LOCKS"] = (5, lambda worker: str(worker.locks_held))
        columns["UP"] = (8, lambda worker: _seconds(worker.uptime_seconds))
        columns["REGION"] = (16, lambda worker: worker.region or "-")
        columns["ROLE"] = (10, lambda worker: worker.role or "-")
    return columns


def _name_width(columns: _Columns, workers: Sequence[WorkerMetrics], surface: Surface) -> int:
    others = sum(width + 1 for width, _ in columns.values() if width is not None)
    longest = max((len(worker.id) for worker in workers), default=0)
    return max(6, min(surface.width - others, max(longest, 12)))


def _headings(columns: _Columns, workers: Sequence[WorkerMetrics], surface: Surface, choice: Choice) -> Text:
    name = _name_width(columns, workers, surface)
    sorted_by = {"worker": "WORKER", "crashes": "CRASHES"}.get(choice.sort, choice.sort.upper())
    line = Text()
    for heading, (width, _) in columns.items():
        style = "bold reverse" if heading == sorted_by else "bold"
        line.append(heading.ljust(width or name), style=style).append(" ")
    return line


def _row(
    columns: _Columns, worker: WorkerMetrics, workers: Sequence[WorkerMetrics], surface: Surface
) -> Text:
    name = _name_width(columns, workers, surface)
    line = Text()
    for width, cell in columns.values():
        found = cell(worker)
        text = found.copy() if isinstance(found, Text) else Text(plain(found))
        text.truncate(width or name, overflow="ellipsis" if surface.blocks else "crop", pad=True)
        line.append_text(text).append(" ")
    return line


def _keys(choice: Choice, number: int, first: int, shown: int) -> Text:
    if choice.typing:
        return Text.assemble(
            ("filter: ", "bold"), choice.text, ("_", "blink"), "  (Enter keeps it, Esc ends it)"
        )
    order = f"{choice.sort}{' reversed' if choice.reverse else ''}"
    what = choice.show + (f" with {choice.text!r}" if choice.text else "")
    place = f"  {first + 1}-{first + shown} of {number}" if shown < number else f"  {number} shown"
    text = f"q quit  s sort: {order}  r reverse  f filter: {what}  / search{place}"
    return Text(plain(text), style="reverse")


def _searched(worker: WorkerMetrics) -> tuple[str | None, ...]:
    return (worker.id, worker.region, worker.role)


def _next(names: Mapping[str, object], name: str) -> str:
    known = list(names)
    return known[(known.index(name) + 1) % len(known)]


def _percent(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}%"


def _seconds(number: float | None) -> str:
    if number is None:
        return "-"
    if number < 100:
        return f"{number:.1f}s"
    return f"{number / 60:.0f}min" if number < 6000 else f"{number / 3600:.1f}h"
