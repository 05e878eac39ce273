"""One frame of ``sentinel cluster top``: from what was read and what the person chose to lines of text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.text import Text

from sentinel.cli.ending import plain
from sentinel.cli.output import worker_status
from sentinel.cli.top_choice import Choice
from sentinel.client.fleetwide import Health
from sentinel.fleet.metrics import RECENT, WorkerMetrics
from sentinel.fleet.pacing import Budget, Forecast

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
#: Lines of a terminal that are not for conditions: the workers of a small fleet, and the rest.
_ROOM_FOR_WORKERS = 14
#: Figures of a budget, and how they are named on the board.
_FIGURES = {
    "pushes_a_minute": "pushes/min",
    "requests_an_hour": "requests/h",
    "points_a_minute": "points/min",
    "contents_an_hour": "contents/h",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What the frame is drawn on."""

    width: int = 80
    #: None for as many lines as it takes, without a line about keys.
    height: int | None = None
    #: Whether it can show more than ASCII.
    blocks: bool = True


def frame(
    health: Health,
    choice: Choice,
    surface: Surface,
    *,
    store: str,
    forecast: Forecast | None = None,
    note: str = "",
) -> list[Text]:
    """The lines of one frame, none wider than the surface and not more than it is high.

    ``forecast`` is what the fleet sends to a store with limits, ``note`` what is wrong with the board itself,
    such as a store that does not answer.
    """
    head = [_title(health, store, surface), *_summary(health)]
    if forecast is not None:
        head.append(_budget(forecast))
    head += _conditions(health, surface)
    if note:
        head.append(Text(plain(note), style="bold red"))
    workers = choice.of(health.metrics.workers)
    columns = _columns(surface, workers)
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


def forecast_of(budget: Budget | None, health: Health) -> Forecast | None:
    """What a fleet of this size sends that goes on as it did lately; None where nothing is limited."""
    if budget is None:
        return None
    workers = max(1, len(health.metrics.healthy))
    return budget.forecast(workers, health.metrics.tasks.recent_ended * 3600.0 / RECENT)


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


def _budget(forecast: Forecast) -> Text:
    """What is sent against what is allowed, where there is a limit."""
    figures = [
        (words, getattr(forecast, name), forecast.limits.get(name, math.inf))
        for name, words in _FIGURES.items()
    ]
    text = Text("budget ")
    for words, value, limit in figures:
        if math.isfinite(limit) and limit > 0:
            style = "red" if value > limit else "yellow" if value > _WARM * limit else ""
            text.append(f"  {value:.3g}/{limit:g}", style=style).append(f" {words}")
    return text


def _conditions(health: Health, surface: Surface) -> Iterator[Text]:
    shown = _CONDITIONS
    if surface.height is not None:
        # On a low terminal the workers come first.
        shown = max(1, min(_CONDITIONS, surface.height - _ROOM_FOR_WORKERS))
    for condition in health.conditions[:shown]:
        style = "red" if condition.severity == "critical" else "yellow"
        yield Text.assemble((f"{condition.severity:<8} ", style), plain(condition.message))
    more = len(health.conditions) - shown
    if more > 0:
        yield Text(f"         and {more} more: sentinel cluster health"[: surface.width])


_Cell = Callable[[WorkerMetrics], "str | Text"]
#: Heading → its width (None for what is left), and the cell.
_Columns = Mapping[str, tuple[int | None, _Cell]]

#: Columns that are there where the terminal is wide enough for them besides the names, the first ones first.
_MORE: Mapping[str, tuple[int, _Cell]] = {
    "LOST": (5, lambda worker: str(worker.lost_claims)),
    "CRASHES": (7, lambda worker: str(worker.crashes)),
    "BEAT": (8, lambda worker: _seconds(worker.seconds_since_heartbeat)),
    "DISK": (4, lambda worker: _percent(worker.disk_percent)),
    "CONNS": (5, lambda worker: "-" if worker.connections is None else str(worker.connections)),
    "LOCKS": (5, lambda worker: str(worker.locks_held)),
    "UP": (8, lambda worker: _seconds(worker.uptime_seconds)),
    "REGION": (16, lambda worker: worker.region or "-"),
    "ROLE": (10, lambda worker: worker.role or "-"),
}
#: Characters of names for which such columns make room.
_NAME = 40


def _columns(surface: Surface, workers: Sequence[WorkerMetrics]) -> _Columns:
    narrow = surface.width < 80
    statuses = 8 if narrow else max((len(_status(worker)) for worker in workers), default=8)
    # A status that takes more room than usual takes it from the bar rather than from the names.
    length = 5 if narrow or (statuses > 8 and surface.width < 100) else 10
    columns: dict[str, tuple[int | None, _Cell]] = {
        "WORKER": (None, lambda worker: worker.id),
        "STATUS": (max(8, statuses), lambda worker: Text(_status(worker), style=_STYLES[worker.status])),
        "LOAD": (length + 5, lambda worker: bar(worker.utilization, length, blocks=surface.blocks)),
        "TASKS": (7, lambda worker: f"{worker.active_tasks}/{worker.max_tasks}"),
    }
    if not narrow:
        columns["CPU"] = (4, lambda worker: _percent(worker.cpu_percent))
        columns["MEM"] = (4, lambda worker: _percent(worker.memory_percent))
        columns["DONE"] = (6, lambda worker: str(worker.tasks_done))
        columns["FAILED"] = (6, lambda worker: str(worker.tasks_failed))
        names = min(_longest(workers), _NAME)
        for heading, (width, cell) in _MORE.items():
            if names + _others(columns) + width + 1 > surface.width:
                break
            columns[heading] = (width, cell)
    return columns


def _others(columns: _Columns) -> int:
    """Characters that all columns but the names take, with the blanks before them."""
    return sum(width + 1 for width, _ in columns.values() if width is not None)


def _longest(workers: Sequence[WorkerMetrics]) -> int:
    return max(12, *(len(worker.id) for worker in workers)) if workers else 12


def _name_width(columns: _Columns, workers: Sequence[WorkerMetrics], surface: Surface) -> int:
    return max(6, min(surface.width - _others(columns), _longest(workers)))


def _headings(columns: _Columns, workers: Sequence[WorkerMetrics], surface: Surface, choice: Choice) -> Text:
    name = _name_width(columns, workers, surface)
    sorted_by = {"worker": "WORKER", "crashes": "CRASHES"}.get(choice.sort, choice.sort.upper())
    cells = [
        Text(heading.ljust(width or name), style="bold reverse" if heading == sorted_by else "bold")
        for heading, (width, _) in columns.items()
    ]
    return Text(" ").join(cells)


def _row(
    columns: _Columns, worker: WorkerMetrics, workers: Sequence[WorkerMetrics], surface: Surface
) -> Text:
    name = _name_width(columns, workers, surface)
    cells = []
    for width, cell in columns.values():
        found = cell(worker)
        text = found.copy() if isinstance(found, Text) else Text(plain(found))
        if width is None:
            text = Text(_shortened(text.plain, name, "…" if surface.blocks else "~"))
        text.truncate(width or name, overflow="ellipsis" if surface.blocks else "crop", pad=True)
        cells.append(text)
    return Text(" ").join(cells)


def _shortened(name: str, room: int, mark: str) -> str:
    """A name in so much room: what tells workers apart stands at its end more often than in its middle."""
    if len(name) <= room:
        return name
    tail = max(0, (room - 1) * 2 // 3)
    return f"{name[: room - 1 - tail]}{mark}{name[len(name) - tail :]}"


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


def _status(worker: WorkerMetrics) -> str:
    return worker_status({"status": worker.status, "cordoned": worker.cordoned})


def _percent(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}%"


def _seconds(number: float | None) -> str:
    if number is None:
        return "-"
    if number < 100:
        return f"{number:.1f}s"
    return f"{number / 60:.0f}min" if number < 6000 else f"{number / 3600:.1f}h"
