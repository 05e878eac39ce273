"""The demo as a stranger meets it: real peers, a real ``kill -9``, and nothing left of it in the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sentinel.clock import SystemClock
from sentinel.demo.fleet import Fleet, PeerProcess
from sentinel.errors import SentinelError

ROOT = Path(__file__).parents[2]
#: Seconds; generous, because it is only ever used up by a failure.
PATIENCE = 600.0

#: Ignores SIGTERM, like a daemon that hangs.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """As on a machine that has no HOME, with a folder for temporary files that has a space in its name."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    bare = {name: value for name, value in os.environ.items() if name != "HOME"}
    return {**bare, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def temporary(environ: dict[str, str]) -> list[Path]:
    return list(Path(environ["TMPDIR"]).iterdir())


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that work in ``folder`` or name it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                line = " ".join(process.cmdline())
                if str(folder) in line or process.cwd().startswith(str(folder)):
                    found.append(line)
    return found


def demo(environ: dict[str, str], folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sentinel", "demo", *args],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whatever started these tests in the background may have had SIGINT ignored, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_the_demo_ends_well_and_leaves_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    out, err = demo(environ, tmp_path, "--once", "-o", "json").communicate(timeout=2 * PATIENCE)
    report = json.loads(out)
    assert report["problems"] == [], err
    assert report["tasks"] == report["done"] > 150
    assert report["identical"]
    assert report["reclaimed"] >= 1
    assert report["takeover"]["killed"] != report["takeover"]["by"]
    assert "kill -9" in err
    assert processes_in(tmp_path) == []
    assert temporary(environ) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_demo_and_all_its_peers(
    environ: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    process = demo(environ, tmp_path, "--once")
    assert process.stderr is not None
    for line in process.stderr:
        if "handed in" in line:
            break
    process.send_signal(number)
    _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"ended by {number.name}" in rest
    assert processes_in(tmp_path) == []
    assert temporary(environ) == []


def test_a_demo_that_fails_says_why_and_keeps_its_files(environ: dict[str, str], tmp_path: Path) -> None:
    # An interval that is not safe: peers refuse it.
    failing = {**environ, "SENTINEL_HEARTBEAT_INTERVAL": "10", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "10"}
    process = demo(failing, tmp_path, "--once")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (folder,) = temporary(environ)
    assert f"kept in {folder}" in err
    assert "Traceback" not in err
    assert processes_in(tmp_path) == []


def test_a_folder_that_is_not_empty_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    process = demo(environ, tmp_path, "--once", "--keep", str(tmp_path))
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "is not empty" in err


# -- peers, with stand-ins for the daemon ----------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(folder=tmp_path, clock=SystemClock(), environ=os.environ) as fleet:
        yield fleet


def stand_in(fleet: Fleet, code: str) -> PeerProcess:
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    peer = PeerProcess("stand-in", process, fleet.folder / "stand-in.log")
    fleet.peers[peer.name] = peer
    return peer


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_held_peer_stands_still_until_it_may_go_on(fleet: Fleet, tmp_path: Path) -> None:
    ticks = tmp_path / "ticks"
    code = f"import time\nwhile True: open({str(ticks)!r}, 'a').write('x'); time.sleep(0.001)"
    peer = stand_in(fleet, code)
    wait_until(ticks.exists)
    assert peer.hold(SystemClock())
    size = ticks.stat().st_size
    time.sleep(0.1)
    assert ticks.stat().st_size == size
    peer.go_on()
    wait_until(lambda: ticks.stat().st_size > size)


def test_a_dead_peer_cannot_be_held(fleet: Fleet) -> None:
    peer = stand_in(fleet, "pass")
    wait_until(lambda: not peer.alive)
    assert not peer.hold(SystemClock())


def test_a_held_peer_can_be_killed(fleet: Fleet) -> None:
    peer = stand_in(fleet, STUBBORN)
    assert peer.hold(SystemClock())
    peer.kill()
    assert (peer.alive, peer.killed, peer.status) == (False, True, -signal.SIGKILL)


def test_only_a_peer_that_ended_by_itself_is_reported_with_its_last_words(fleet: Fleet) -> None:
    stand_in(fleet, STUBBORN).kill()
    fleet.check()
    fleet.peers.clear()
    peer = stand_in(fleet, "raise SystemExit(78)")
    peer.log.write_text("no such setting\n")
    wait_until(lambda: not peer.alive)
    with pytest.raises(SentinelError, match=r"stand-in ended by itself with status 78: no such setting"):
        fleet.check()


def test_a_peer_that_ignores_signals_is_killed_in_the_end(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.demo.fleet._LEAVE_PATIENCE", 0.2)
    monkeypatch.setattr("sentinel.demo.fleet._HURRIED", 0.1)
    ready = fleet.folder / "ready"
    peer = stand_in(fleet, STUBBORN.replace("time.sleep", f"open({str(ready)!r}, 'w'); time.sleep"))
    wait_until(ready.exists)
    assert fleet.stop(hurry=True) == ["peer stand-in did not leave and was killed"]
    assert not peer.alive


def test_what_a_killed_peer_leaves_behind_is_ended_too(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.demo.fleet._LEAVE_PATIENCE", 0.2)
    pid_file = fleet.folder / "child"
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])"
    peer = stand_in(fleet, f"{child}\nopen({str(pid_file)!r}, 'w').write(str(p.pid))\np.wait()")
    wait_until(lambda: pid_file.exists() and pid_file.read_text() != "")
    assert peer.hold(SystemClock())
    peer.kill()
    left = psutil.Process(int(pid_file.read_text()))
    assert fleet.stop() == [f"process {left.pid} outlived its peer and was killed"]
    wait_until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
