"""The simulator itself: the same seed gives the same history, faults do happen, and clean seeds are clean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.peer.peer import Peer
from sentinel.testing.simulation import baton
from sentinel.testing.simulation.campaign import campaign
from sentinel.testing.simulation.carriers import Greenlets, Threads
from sentinel.testing.simulation.faults import FAULTS
from sentinel.testing.simulator import SimulationOptions, simulate

ROOT = Path(__file__).resolve().parents[2]
SHORT = SimulationOptions(minutes=5, tasks=30)
#: So many seeds, of 30 virtual minutes and 5 peers each; ``scripts/simulate`` runs the long campaigns.
SEEDS = 100


def test_one_seed_gives_one_history() -> None:
    assert simulate(11, SHORT).digest == simulate(11, SHORT).digest


def test_two_seeds_give_two_histories() -> None:
    assert simulate(11, SHORT).digest != simulate(12, SHORT).digest


def test_a_history_does_not_depend_on_the_order_of_hashes() -> None:
    program = (
        "from sentinel.testing.simulator import *;"
        "print(simulate(11, SimulationOptions(minutes=5, tasks=30)).digest)"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True, timeout=300
    )
    assert told.stdout.strip() == simulate(11, SHORT).digest


def test_threads_and_greenlets_give_one_history(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = []
    for carrier in (Threads, Greenlets):
        monkeypatch.setattr(baton, "best_carrier", carrier)
        histories.append(simulate(11, SHORT).digest)
    assert histories[0] == histories[1]


def test_a_bug_in_the_product_ends_the_simulation_with_what_led_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tick(self: Peer) -> float:
        raise ZeroDivisionError

    monkeypatch.setattr(Peer, "tick", tick)
    with pytest.raises(ZeroDivisionError) as raised:
        simulate(1, SHORT)
    assert "what happened before" in raised.value.__notes__[0]


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_can_be_had_alone(fault: str) -> None:
    options = SimulationOptions(minutes=3, tasks=20, fault_every=10.0, faults={fault: 1.0})
    report = simulate(21, options)
    assert report.violation is None, report.timeline
    assert report.faults.keys() == {fault}


def test_a_task_that_kills_its_worker_again_and_again_ends_dead() -> None:
    options = SimulationOptions(minutes=5, tasks=12, seconds=60.0, faults={}, deadly=0.5)
    report = simulate(21, options)
    assert report.violation is None, report.timeline
    assert report.counts["dead"] > 0


def test_fifty_peers_bear_what_five_do() -> None:
    report = simulate(23, SimulationOptions(minutes=1, peers=50, tasks=300, fault_every=2.0))
    assert report.violation is None, report.timeline


def test_the_seeds_of_every_run_are_clean() -> None:
    problems = [
        f"seed {verdict.seed}: {verdict.problem}\n{verdict.story}"
        for verdict in campaign(range(SEEDS), SimulationOptions(), jobs=len(os.sched_getaffinity(0)))
        if verdict.problem
    ]
    assert not problems, "\n".join(problems)
