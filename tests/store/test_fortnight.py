"""A fleet whose tasks are kept for half a day does not take more after three days than after two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_what_a_fleet_takes_levels_off(tmp_path: Path) -> None:
    size = ["--days", "3", "--retention", "0.5", "--a-day", "50", "--peers", "3", "--every", "0.125"]
    ran = subprocess.run(
        # Time and memory of this very machine are for `scripts/measure-fortnight` by itself.
        [sys.executable, "scripts/measure_fortnight.py", *size, "--exact", "--worth", "80"],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
