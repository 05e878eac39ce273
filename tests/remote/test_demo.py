"""The demo over HTTP: the real thing with less work, and the whole of it on request."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from sentinel.cli.demo import _play
from sentinel.demo.corpus import library_folder
from sentinel.demo.remote import served
from sentinel.demo.scenario import Work, plan_work
from tests.remote.conftest import LONG

#: Packages that are measured here, enough for three peers to be busy with, and none that takes long.
PACKAGES = 24


@pytest.fixture
def work() -> Work:
    """A part of what the demo does."""
    whole = plan_work(library_folder(), with_tests=False, timeout=600)
    some = whole.packages[20 : 20 + PACKAGES]
    ids = {package.name: whole.ids[package.name] for package in some}
    return dataclasses.replace(whole, packages=some, ids=ids)


def named(folder: Path) -> list[str]:
    """Command lines of processes that name ``folder``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if str(folder) in line and process.status() != psutil.STATUS_ZOMBIE:
                found.append(line)
    return found


def test_the_demo_over_http_ends_well_and_leaves_nothing_running(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _play(
        work,
        tmp_path,
        peers=3,
        once=True,
        remote=True,
        output="json",
        interrupted=lambda: None,
    )
    assert report.problems == (), capsys.readouterr().err
    assert (report.tasks, report.done, report.identical) == (PACKAGES, PACKAGES, True)
    assert report.takeover is not None
    assert report.takeover.by not in (None, report.takeover.killed)
    assert named(tmp_path) == []


@pytest.mark.skipif(not LONG, reason="takes two minutes; SENTINEL_LONG=1 runs it")
def test_the_whole_demo_over_http_exits_with_0(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sentinel", "demo", "--remote", "--once", "-o", "json"]
    ran = subprocess.run(command, cwd=tmp_path, env=environ(tmp_path), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert (report["problems"], report["identical"]) == ([], True)
    assert list((tmp_path / "temporary").iterdir()) == []


def environ(folder: Path) -> dict[str, str]:
    (folder / "temporary").mkdir()
    root = str(Path(__file__).parents[2])
    return {**os.environ, "TMPDIR": str(folder / "temporary"), "PYTHONPATH": root}


def test_only_who_knows_the_password_gets_in(tmp_path: Path) -> None:
    with served(tmp_path, random.Random(1)) as remote:
        url = f"{remote.url.removeprefix('git+')}/info/refs?service=git-receive-pack"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url, timeout=20)
        assert stat.S_IMODE(remote.token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("given", "interval"),
    [
        ({}, "4"),
        ({"SENTINEL_HEARTBEAT_INTERVAL": "9"}, "9"),
        ({"SENTINEL_HEARTBEAT_STALE_THRESHOLD": "9"}, None),
    ],
)
def test_peers_beat_often_unless_somebody_says_how_often(
    tmp_path: Path, given: Mapping[str, str], interval: str | None
) -> None:
    with served(tmp_path, random.Random(1)) as remote:
        assert remote.environment(given).get("SENTINEL_HEARTBEAT_INTERVAL") == interval
