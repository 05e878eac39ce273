"""What `doctor` looks at, one check after another; a later one is left out when it needs a failed one."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.cli import repairs
from sentinel.cli.context import Invocation
from sentinel.clock import SystemClock
from sentinel.errors import BadInput, ConfigurationError, SentinelError, StoreError
from sentinel.fleet.metrics import HEALTHY
from sentinel.fleet.pacing import Budget, Rhythm, Seen
from sentinel.model.check import Check

if TYPE_CHECKING:
    from sentinel.client import Client
    from sentinel.settings import Settings

#: The oldest git whose repositories and commands are known to work with stores.
OLDEST_GIT = (2, 30)
_MACHINE, _STORE, _OTHER = 78, 5, 1
#: Unreadable records that are named one by one.
_NAMED = 10


def examine(invocation: Invocation, *, fix: bool = False) -> Iterator[Check]:
    """All checks, in order; with ``fix`` what can be put right is, and said to be."""
    yield Check(name="python", message=f"Python {platform.python_version()}")
    yield _git()
    yield from (found.checked(fix=fix) for found in repairs.of_state_folder(invocation.state_folder()))
    yield _state_folder(invocation)
    try:
        settings = invocation.settings()
        url = invocation.store_url()
    except ConfigurationError as error:
        for problem in error.problems:
            yield _failed("configuration", problem, _MACHINE)
        return
    except BadInput as error:
        yield _failed("configuration", str(error), _MACHINE)
        return
    yield from _configuration(settings)
    in_dotenv = settings.origin_of("github.token").startswith(".env")
    exposed = repairs.of_secrets(os.environ, Path.cwd(), in_dotenv=in_dotenv)
    yield from (found.checked(fix=fix) for found in exposed)
    yield from _store(invocation, settings, url, fix=fix)


def _git() -> Check:
    fix = f"install git {'.'.join(map(str, OLDEST_GIT))} or newer, e.g. with `apt install git`"
    program = shutil.which("git")
    if program is None:
        return Check(name="git", level="fail", message="there is no git here", fix=fix, status=_MACHINE)
    try:
        ran = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        message = f"{program} does not work: {error}"
        return Check(name="git", level="fail", message=message, fix=fix, status=_MACHINE)
    found = re.search(r"(\d+)\.(\d+)[\w.]*", ran.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        message = f"{program} is too old: {ran.stdout.strip() or 'it names no version'}"
        return Check(name="git", level="fail", message=message, fix=fix, status=_MACHINE)
    return Check(name="git", message=f"git {found[0]}")


def _state_folder(invocation: Invocation) -> Check:
    folder = invocation.state_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"sentinel")
            probe.flush()
    except OSError as error:
        return Check(
            name="state folder",
            level="fail",
            message=f"{folder} cannot be written: {error.strerror}",
            fix="free space, change its permissions, or name another folder in SENTINEL_STATE_FOLDER",
            status=_OTHER,
        )
    return Check(name="state folder", message=f"{folder} can be written")


def _configuration(settings: Settings) -> Iterator[Check]:
    from sentinel.cli.workshop import unimplemented, workshop
    from sentinel.settings import documented_keys

    for warning in settings.warnings:
        yield Check(name="configuration", level="warn", message=warning)
    files = ", ".join(settings.files) or "no file, defaults and environment only"
    yield Check(name="configuration", message=f"valid: {files}")
    try:
        missing = unimplemented(settings, workshop(settings))
        for sentence in missing.values():
            yield _warned("tasks", sentence)
        if not missing:
            yield Check(name="tasks", message="every configured task type can be run")
    except ConfigurationError as error:
        for problem in error.problems:
            yield _failed("tasks", problem, _MACHINE)
    for key in documented_keys():
        origin = settings.origin_of(key.python)
        if origin != "default":
            yield Check(name="setting", message=f"{key.python} comes from {origin}")


def _store(invocation: Invocation, settings: Settings, url: str, *, fix: bool) -> Iterator[Check]:
    from sentinel.client.identity import default_actor
    from sentinel.store.opener import StoreOptions, kind_of

    clock = SystemClock()
    try:
        kind = kind_of(url)
        times = settings.lease(kind)
        poll = times.poll(remote=kind == "remote")
        with invocation.client() as client:
            sent = clock.now()
            client.view()
            round_trip = clock.now() - sent
            yield Check(name="store", message=f"{url} can be read, in {round_trip * 1000:.0f} ms")
            options = StoreOptions(actor=default_actor(), fsync=settings.local.fsync)
            yield from (found.checked(fix=fix) for found in repairs.of_store(url, options))
            proving = settings.failover.local_proof and client.store.host_folder is not None
            budget = invocation.budget(url)
            yield _bound(client, Rhythm(times=times, poll=poll), budget, round_trip, proving=proving)
            if budget is not None:
                yield _budget(client, budget)
            yield from _records(client)
            yield _workers(client)
    except ConfigurationError as error:
        for problem in error.problems:
            yield _failed("intervals", problem, _MACHINE)
    except StoreError as error:
        yield _failed("store", str(error), _STORE)
    except SentinelError as error:
        yield _failed("store", str(error), error.exit_status)


def _bound(
    client: Client, rhythm: Rhythm, budget: Budget | None, round_trip: float, *, proving: bool
) -> Check:
    from sentinel.fleet import failover

    view, registers = client.view(), client.store.published()
    if budget is not None:
        rhythm = budget.rhythm(Seen(workers=max(1, _live(client)), place=0))
    announced = max(
        [*(live.ttl for live in view.incarnations.values()), *failover.announced(view, registers).values()],
        default=0.0,
    )
    times = rhythm.times
    bound = rhythm.takeover_bound(round_trip, announced=announced)
    soon = ", on one host as soon as its death is proven" if proving else ""
    return Check(
        name="failover",
        message=f"a beat every {times.interval:.4g} s, dead after {max(times.stale, announced):.4g} s of "
        f"silence: what a crashed worker ran is free again within {bound:.1f} s while another one "
        f"watches{soon}",
    )


def _budget(client: Client, budget: Budget) -> Check:
    workers = max(1, _live(client))
    found = budget.forecast(workers, 0.0)
    fleet = "1 worker sends" if workers == 1 else f"{workers} workers send"
    figures = (
        f"{found.pushes_a_minute:.1f} of {found.limits['pushes_a_minute']:g} pushes a minute"
        if found.rhythm.push is not None
        else f"{found.requests_an_hour:.0f} of {found.limits['requests_an_hour']:g} requests an hour"
    )
    return Check(
        name="budget", message=f"at rest, {fleet} {figures}; `sentinel budget --workers N` tells more"
    )


def _live(client: Client) -> int:
    return sum(live.kind == "worker" for live in client.view().incarnations.values())


def _records(client: Client) -> Iterator[Check]:
    problems = client.problems()
    for problem in problems[:_NAMED]:
        yield Check(
            name="records",
            level="fail",
            message=f"cannot be read, and is left out: {problem}",
            fix="upgrade task-sentinel if a newer version wrote it; else put back its last good version from "
            "`git log sentinel/state`",
            status=_OTHER,
        )
    if len(problems) > _NAMED:
        more = f"{len(problems) - _NAMED} more cannot be read"
        yield Check(name="records", level="fail", message=more, status=_OTHER)
    if not problems:
        yield Check(name="records", message="all can be read")


def _workers(client: Client) -> Check:
    live = [row.id for row in client.workers() if row.status in HEALTHY]
    if not live:
        fix = "start one with `sentinel worker start`"
        return Check(name="workers", level="warn", message="none beats", fix=fix)
    return Check(name="workers", message=f"{len(live)} beat: {', '.join(live[:_NAMED])}")


def _warned(name: str, sentence: str) -> Check:
    message, _, fix = sentence.partition("; ")
    return Check(name=name, level="warn", message=message, fix=fix or None)


def _failed(name: str, sentence: str, status: int) -> Check:
    message, _, fix = sentence.partition("; ")
    return Check(name=name, level="fail", message=message, fix=fix or None, status=status)
