"""``scripts/simulate`` tells what it found, and how to see it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def simulate(*arguments: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    program = f"{prelude}\nimport runpy, sys\nsys.argv = {['scripts/simulate', *arguments]!r}\n"
    program += f"sys.path[0] = {str(ROOT / 'scripts')!r}\n"  # as it is for a program that is run
    program += f"runpy.run_path({str(ROOT / 'scripts/simulate.py')!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )


def test_clean_seeds_end_with_zero_and_a_summary() -> None:
    told = simulate("--seeds", "2", "--minutes", "2", "--tasks", "10", "--jobs", "1")
    assert told.returncode == 0, told.stderr
    assert "all invariants held" in told.stdout


def test_a_violation_ends_with_one_and_the_line_that_replays_it() -> None:
    broken = (
        "from sentinel.fleet import failover\nfailover.seal = lambda store, found, *, by, sent_at: True\n"
    )
    told = simulate(
        "--seed",
        "3",
        "--minutes",
        "8",
        "--faults",
        "kill",
        "--fault-every",
        "10",
        "--jobs",
        "1",
        prelude=broken,
    )
    assert told.returncode == 1, told.stderr
    assert "I5 at" in told.stdout
    assert "replay: scripts/simulate --seed 3 --minutes 8 --fault-every 10 --faults kill" in told.stdout


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    told = simulate("--faults", "earthquake")
    assert told.returncode == 2
    assert "there is no fault 'earthquake'; there are kill" in told.stderr
