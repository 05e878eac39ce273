"""What is wrong with the arguments of a script is told in one sentence, before anything is measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("script", "arguments", "reason"),
    [
        ("bench", ["--only", "huey"], "there is no contestant 'huey'; there are sentinel, huey-sqlite, "),
        ("bench", ["--parts", "drain,sleep"], "there is no part 'sleep'; there are drain, latency, "),
        ("bench", ["--rounds", "0"], "'0' is not a whole number from 1 on"),
        ("bench", ["--folder", "/no/such/place"], "there is no folder '/no/such/place'"),
        ("bench", ["--json", "/no/such/place/x.json"], "is no file in a folder that is there"),
        ("simulate", ["--faults", "earthquake"], "there is no fault 'earthquake'; there are kill"),
        ("simulate", ["--minutes", "nan"], "'nan' is not a number above zero"),
        ("simulate", ["--seeds", "-1"], "'-1' is not a whole number from 1 on"),
        (
            "measure_balance",
            ["--only", "roundest"],
            "no row has 'roundest' in its name; rows are round_robin",
        ),
        ("measure_scale", ["--json", "/no/such/place/x.json"], "is no file in a folder that is there"),
        ("measure_fortnight", ["--factor", "0"], "'0' is not a number above zero"),
        ("measure_memory", ["--processes", "none"], "'none' is not a whole number from 1 on"),
        ("measure_idle", ["--seconds", "-1"], "'-1' is not a number above zero"),
        ("measure_github", ["10"], "'10' is not workers and tasks an hour, such as 5,200"),
    ],
)
def test_a_script_refuses_what_it_cannot_measure(script: str, arguments: list[str], reason: str) -> None:
    told = subprocess.run(
        [sys.executable, f"scripts/{script}.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (told.returncode, told.stdout) == (2, "")
    assert reason in told.stderr.splitlines()[-1]
