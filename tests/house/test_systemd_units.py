"""The units are what systemd understands. It exits 0 over an unknown key, so anything it says counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Require
from tests.house.source import ROOT

_UNITS = sorted((ROOT / "systemd").glob("*.service"))


@pytest.fixture(scope="module")
def analyzer(require: Require) -> str:
    found = shutil.which("systemd-analyze")
    require("systemd", found is not None, "no systemd-analyze on PATH")
    return str(found)


def complaints(analyzer: str, unit: str, folder: Path) -> str:
    """What systemd says of a template's text, with the programs it starts in place."""
    # The installed program is not on this machine; its arguments stay what they are.
    text = re.sub(r"^(Exec\w+=-?)/opt/\S+", r"\g<1>/bin/true", unit, flags=re.MULTILINE)
    path = folder / "task-sentinel@worker-001.service"
    path.write_text(text, encoding="utf-8")
    verified = subprocess.run(
        [analyzer, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
    )
    said = (verified.stdout + verified.stderr).strip()
    return said if said or verified.returncode == 0 else f"exit status {verified.returncode}"


@pytest.mark.parametrize("unit", _UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_about_a_unit(unit: Path, analyzer: str, tmp_path: Path) -> None:
    assert not complaints(analyzer, unit.read_text(encoding="utf-8"), tmp_path)


@pytest.mark.parametrize(
    "line", ["Watchdog=30", "KillMode=most", "ExecStartPre=/nowhere/program", "TimeoutStopSec=soon"]
)
def test_a_line_that_systemd_would_ignore_is_found(line: str, analyzer: str, tmp_path: Path) -> None:
    sound = "[Service]\nExecStart=/bin/true\n"
    assert not complaints(analyzer, sound, tmp_path)
    assert complaints(analyzer, f"{sound}{line}\n", tmp_path)


def test_a_bad_configuration_or_a_used_id_is_not_tried_again() -> None:
    unit = (ROOT / "systemd" / "task-sentinel@.service").read_text(encoding="utf-8")
    assert "\nRestartPreventExitStatus=2 4 78\n" in unit


def test_a_crash_leaves_the_supervisor_time_to_prove_the_death() -> None:
    unit = (ROOT / "systemd" / "task-sentinel@.service").read_text(encoding="utf-8")
    assert "\nKillMode=control-group\n" in unit
