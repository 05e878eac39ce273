"""The demo's verdict: what it takes to be right, and that each way to be wrong is named."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sentinel.demo.analysis import measure_module, summarize
from sentinel.demo.report import Evidence, Takeover, judge, report_lines
from sentinel.model import task as transitions
from sentinel.model.task import Ending, Task

NAMES = ("alpha", "_beta", "gamma")
IDS = {"alpha": "alpha", "_beta": "beta", "gamma": "gamma"}
RESULTS: dict[str, Any] = {
    "alpha": summarize("alpha", [measure_module("alpha", b"def f(x):\n    return x and 1\n")]),
    "_beta": summarize("_beta", [measure_module("_beta", b"print 1\n")]),
    "gamma": summarize(
        "gamma",
        [measure_module(f"gamma.m{n:02}", b"def g(x):\n    assert x\n" * n) for n in range(1, 13)],
    ),
}


def submitted(name: str) -> Task:
    task = Task(id=IDS[name], type="stdlib-metrics", created_at="2026-11-22T08:00:00.000000Z")
    return transitions.submit(task, wall=1.0)


def claimed(task: Task, worker: str) -> Task:
    return transitions.claim(task, worker=worker, incarnation=f"inc-of-{worker}", wall=2.0)


def done(task: Task, name: str) -> Task:
    return transitions.end_attempt(task, Ending(cause=None, result=RESULTS[name]), wall=3.0)


def as_it_should_be() -> Evidence:
    lost = transitions.lose(claimed(submitted("alpha"), "demo-2"), wall=2.5, evidence="proof of death")
    return Evidence(
        python="3.11.7",
        tasks=IDS,
        records=[
            done(claimed(lost, "demo-1"), "alpha"),
            done(claimed(submitted("_beta"), "demo-2"), "_beta"),
            done(claimed(submitted("gamma"), "demo-3"), "gamma"),
        ],
        fleet=RESULTS,
        single=RESULTS,
        takeover=Takeover(killed="demo-2", tasks=("alpha",), seconds=0.42, task="alpha", by="demo-1"),
        peers=("demo-1", "demo-2", "demo-3"),
        left_out={"test": 989},
        fleet_seconds=20.0,
        single_seconds=10.0,
    )


def problems(**changes: Any) -> list[str]:
    return list(judge(dataclasses.replace(as_it_should_be(), **changes)).problems)


def test_a_fleet_that_did_as_it_should_has_no_problems() -> None:
    report = judge(as_it_should_be())
    assert report.ok
    assert report.identical
    assert report.finished_by == {"demo-1": 1, "demo-2": 1, "demo-3": 1}
    assert (report.tasks, report.done, report.attempts, report.losses, report.reclaimed) == (3, 3, 4, 1, 1)


def test_a_peer_that_finished_nothing_is_shown_with_nothing() -> None:
    evidence = dataclasses.replace(as_it_should_be(), peers=("demo-1", "demo-2", "demo-3", "demo-4"))
    assert judge(evidence).finished_by["demo-4"] == 0


def test_the_ten_most_complex_modules_come_from_all_packages_in_order() -> None:
    top = judge(as_it_should_be()).top
    assert [entry["module"] for entry in top[:3]] == ["gamma.m12", "gamma.m11", "gamma.m10"]
    assert len(top) == 10


def test_totals_add_up_over_the_packages() -> None:
    report = judge(as_it_should_be())
    assert report.totals["modules"] == 14
    assert report.totals["functions"] == 1 + sum(range(1, 13))
    assert report.failures == {"parse: SyntaxError": 1}


def test_a_task_that_is_not_done_is_a_problem_and_says_why() -> None:
    evidence = as_it_should_be()
    failed = transitions.end_attempt(
        claimed(submitted("gamma"), "demo-3"), Ending(cause="error", message="MemoryError"), wall=3.0
    )
    found = problems(
        records=[*evidence.records[:2], failed],
        fleet={name: RESULTS[name] for name in ("alpha", "_beta")},
    )
    assert found == [
        "task gamma is failed (error: MemoryError)",
        "the fleet's result differs from a single process's for gamma",
    ]


def test_a_task_that_vanished_is_a_problem() -> None:
    assert problems(records=as_it_should_be().records[:2]) == ["gamma cannot be found any more"]


def test_a_second_finish_of_a_task_is_a_problem() -> None:
    records = list(as_it_should_be().records)
    last = records[2]
    records[2] = dataclasses.replace(last, history=(*last.history, last.history[-1]))
    assert problems(records=records) == ["task gamma has 2 finished events instead of one"]


def test_another_result_than_that_of_a_single_process_is_a_problem() -> None:
    other = {**RESULTS, "_beta": {**RESULTS["_beta"], "digest": "0" * 64}}
    report = judge(dataclasses.replace(as_it_should_be(), single=other))
    assert not report.identical
    assert report.problems == ("the fleet's result differs from a single process's for _beta",)


def test_many_differences_are_counted_and_not_all_named() -> None:
    names = {f"p{n}": f"p{n}" for n in range(8)}
    found = problems(tasks=names, records=[], fleet={}, single=dict.fromkeys(names, RESULTS["alpha"]))
    assert "p0, p1, p2, p3, p4 and 3 more" in found[1]


def test_a_demo_in_which_nobody_was_killed_proves_nothing() -> None:
    assert problems(takeover=None) == ["no peer was killed, as none was seen running two tasks at once"]


def test_a_takeover_that_nobody_saw_is_a_problem() -> None:
    takeover = Takeover(killed="demo-2", tasks=("alpha",))
    assert problems(takeover=takeover) == [
        "nobody was seen taking over the tasks of demo-2, which was killed"
    ]


def test_a_demo_in_which_no_task_finished_at_a_second_epoch_proves_nothing() -> None:
    records = [done(claimed(submitted("alpha"), "demo-1"), "alpha"), *as_it_should_be().records[1:]]
    assert problems(records=records) == ["no task was finished at epoch 2 or later, so no takeover is proven"]


def test_tasks_of_others_in_the_same_repository_are_not_judged() -> None:
    foreign = dataclasses.replace(submitted("gamma"), id="somebody-elses")
    assert problems(records=[*as_it_should_be().records, foreign]) == []


def test_the_report_as_json_says_at_the_top_whether_all_is_well() -> None:
    document = json.loads(json.dumps(judge(as_it_should_be()).document()))
    assert (document["ok"], document["identical"], document["problems"]) == (True, True, [])
    assert document["takeover"] == {
        "killed": "demo-2",
        "tasks": ["alpha"],
        "seconds": 0.42,
        "task": "alpha",
        "by": "demo-1",
    }


@pytest.mark.parametrize(
    "said",
    [
        "3 packages, 14 modules",
        "files that could not be measured to the end: 1 (parse: SyntaxError 1)",
        "left out: test, CPython's regression tests, 989 modules",
        "3 of 3 (demo-1 1, demo-2 1, demo-3 1)",
        "4, of which 1 were lost with their worker",
        "demo-2 with kill -9, while it ran alpha",
        "0.42 s later, alpha by demo-1",
        "identical to those of a single process",
        "gamma.m12  12 functions, most of all g (2)",
    ],
)
def test_the_report_for_people_says(said: str) -> None:
    assert said in "\n".join(report_lines(judge(as_it_should_be())))


def test_the_report_for_people_lists_every_problem() -> None:
    text = "\n".join(report_lines(judge(dataclasses.replace(as_it_should_be(), takeover=None))))
    assert "This is not as it should be:\n  - no peer was killed" in text


def test_a_report_on_nothing_at_all_can_be_written() -> None:
    evidence = dataclasses.replace(as_it_should_be(), records=[], fleet={}, single={}, takeover=None)
    assert list(report_lines(judge(evidence)))
