"""``sentinel demo``: a real job over real peers on this machine, one of which is killed."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.context import Invocation, pass_invocation
from sentinel.cli.ending import plain
from sentinel.cli.output import show_json
from sentinel.errors import BadInput, SentinelError

if TYPE_CHECKING:
    from sentinel.demo.fleet import Fleet
    from sentinel.demo.report import Report
    from sentinel.demo.scenario import Work
    from sentinel.store.base import Store

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option("--once", is_flag=True, help="End the fleet after the report, and exit 0 only if all is well.")
@click.option(
    "--remote",
    is_flag=True,
    help="Let the peers share the repository over HTTP, through a Git server.",
)
@click.option(
    "--peers", type=click.IntRange(2, 16), default=3, show_default=True, metavar="N", help="Peers to start."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Put repository and logs into this new or empty folder, and leave them there.",
)
@click.option(
    "--with-tests", is_flag=True, help="Measure CPython's own regression tests, too, where they are."
)
@click.option(
    "--timeout",
    type=click.FloatRange(10, 86_400),
    default=900,
    show_default=True,
    metavar="S",
    help="Seconds until the report is given up.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="The report as text or as one JSON document; progress goes to standard error.",
)
@pass_invocation
def demo(
    invocation: Invocation,
    *,
    once: bool,
    remote: bool,
    peers: int,
    keep: Path | None,
    with_tests: bool,
    timeout: float,
    output: str,
) -> None:
    """Run a real job on three peers, and kill one of them.

    Starts peers on a fresh repository, and lets them measure the standard library of this Python: a task for
    each of its packages. In the middle of it one peer is ended with kill -9, and the others take over. The
    report compares what the fleet found with what a single process finds.

    With --remote the peers share nothing but what a Git server shows them: the demo serves the repository
    over smart HTTP, on loopback and behind a password, and death is seen by silence, not proven.

    With --once nothing is left running, and the exit status is 0 only if both found the same, every task has
    exactly one result, and work of the killed peer was finished by another.

    \b
    Examples:
      sentinel demo
      sentinel demo --once
      sentinel demo --once --remote
      sentinel demo --once --peers 5 --keep ./demo -o json
    """
    from sentinel.demo.corpus import library_folder
    from sentinel.demo.scenario import plan_work

    if invocation.store_flag is not None:
        raise BadInput("the demo makes a repository of its own: use --keep FOLDER instead of --store")
    work = plan_work(library_folder(), with_tests=with_tests, timeout=timeout)
    with _signals_noted() as interrupted, _folder(keep) as folder:
        report = _play(
            work, folder, peers=peers, once=once, remote=remote, output=output, interrupted=interrupted
        )
        if not report.ok:
            raise SentinelError("the demo failed: " + "; ".join(report.problems))


def _play(
    work: Work,
    folder: Path,
    *,
    peers: int,
    once: bool,
    remote: bool,
    output: str,
    interrupted: Callable[[], str | None],
) -> Report:
    """The whole demo with its files in ``folder``; when it returns or raises, no peer is left."""
    from sentinel.client import Client, ClientOptions
    from sentinel.clock import SystemClock
    from sentinel.demo.display import open_display
    from sentinel.demo.fleet import Fleet
    from sentinel.demo.remote import served
    from sentinel.demo.scenario import LOOK_EVERY, SLOTS, Scenario
    from sentinel.entropy import system_random

    clock = SystemClock()
    # Should the demo itself be killed, its peers do not work on for ever.
    extra = ("--duration", f"{work.timeout + 300:.0f}s") if once else ()
    with ExitStack() as opened:
        server = opened.enter_context(served(folder, system_random())) if remote else None
        fleet = opened.enter_context(Fleet(folder=folder, clock=clock, environ=os.environ, remote=server))
        with open_display(sys.stderr, clock) as display:
            display.say(f"starting {peers} peers on a fresh repository, {fleet.place}")
            fleet.init()
            for number in range(1, peers + 1):
                fleet.start(f"demo-{number}", slots=SLOTS, extra=extra)
            options = ClientOptions(fsync=False)  # as for the peers
            store: str | Store = fleet.place
            if server is not None:
                store = opened.enter_context(closing(server.open(os.environ, fleet.state_folder)))
            client = opened.enter_context(Client(store, state_folder=fleet.state_folder, options=options))
            scenario = Scenario(
                work,
                fleet=fleet,
                client=client,
                display=display,
                clock=clock,
                interrupted=interrupted,
                # Every look at a Git server is a connection.
                look_every=1.0 if remote else LOOK_EVERY,
            )
            report = scenario.run()
        if once:
            for note in fleet.stop():
                click.echo(f"sentinel: {note}", err=True)
        _show(report, output)
        if not once:
            _suggest(fleet, [peer.pid for peer in fleet.peers.values() if peer.alive])
            with open_display(sys.stderr, clock) as display:
                scenario.stay(display)
    return report


def _show(report: Report, output: str) -> None:
    from sentinel.demo.report import report_lines

    if output == "json":
        show_json(report.document())
        return
    for line in report_lines(report):
        click.echo(plain(line))


def _suggest(fleet: Fleet, pids: list[int]) -> None:
    """Commands to try while the fleet is up."""
    at = f"--store {shlex.quote(fleet.place)}"
    repository = shlex.quote(str(fleet.store))
    program = _program()
    commands = {
        f"{program} workers list {at}": "the peers",
        f"{program} tasks list {at}": "all tasks and who finished them",
        f"{program} tasks submit stdlib-metrics --arg package=json --wait {at} --id again": "one more task",
        f"git -C {repository} log --format='%ad %s' --date=iso sentinel/state": "the audit",
        f"kill -9 {pids[0] if pids else 'PID'}": "one more dead peer",
    }
    click.echo("\nThe fleet is up until you press Ctrl-C. In another terminal:")
    if fleet.token_file is not None:
        click.echo(f"  export SENTINEL_TOKEN_FILE={shlex.quote(str(fleet.token_file))}")
    for command, meaning in commands.items():
        click.echo(f"  # {meaning}\n  {command}")


def _program() -> str:
    """How this program is called again, from another folder."""
    called = Path(sys.argv[0])
    if called.name != "sentinel":
        return f"{shlex.quote(sys.executable)} -m sentinel"
    found = shutil.which("sentinel")
    if found is not None and called.exists() and Path(found).samefile(called):
        return "sentinel"
    return shlex.quote(str(called.absolute()))


@contextmanager
def _signals_noted() -> Iterator[Callable[[], str | None]]:
    """Note that the demo is to end, and let it end in order: an exception could strike while it tidies up."""
    noted: list[str] = []

    def note(number: int, _: object) -> None:
        noted.append(signal.Signals(number).name)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # What is ignored, as by nohup, stays so.
    for number in (number for number in _SIGNALS if before[number] is not signal.SIG_IGN):
        signal.signal(number, note)
    try:
        yield lambda: noted[0] if noted else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The folder for all files of the demo; one of our own is removed unless something failed."""
    from sentinel.demo.scenario import Interrupted

    if keep is not None:
        yield _kept(keep)
        click.echo(f"sentinel: everything is kept in {keep.absolute()}", err=True)
        return
    folder = Path(tempfile.mkdtemp(prefix="sentinel-demo-")).resolve()
    try:
        yield folder
    except Interrupted:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        click.echo(f"sentinel: repository and logs are kept in {folder}", err=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _kept(folder: Path) -> Path:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BadInput(f"the folder {folder} is not empty; name a new one with --keep")
    return folder
