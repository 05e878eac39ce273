"""A corpus of hostile issues: nothing of it runs, and each gets one clear answer (B4, B5, B6)."""

from __future__ import annotations

import re

import pytest

from tests.github.hostile import HOSTILE, Hostile
from tests.github.stage import GOOD, Stage


@pytest.fixture(scope="module")
def stage() -> Stage:
    """All of them, by somebody whose issues run, between two that are right; and workers that take all."""
    stage = Stage()
    stage.hub.open(GOOD)
    for hostile in HOSTILE:
        stage.hub.open(hostile.body, title=hostile.title)
    stage.hub.open(GOOD)
    stage.look()
    stage.run_whatever_waits()
    stage.look()
    return stage


def number_of(hostile: Hostile) -> int:
    return HOSTILE.index(hostile) + 2


def answers(stage: Stage, hostile: Hostile) -> list[str]:
    return stage.hub.answers(number_of(hostile))


def test_there_are_enough_of_them() -> None:
    assert len({(hostile.title, hostile.body) for hostile in HOSTILE}) >= 60


def test_none_of_them_runs_and_what_is_right_among_them_does(stage: Stage) -> None:
    assert {task.id for task in stage.executed} == {"issue-1", f"issue-{len(HOSTILE) + 2}"}


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_b4_b5_it_becomes_no_task(stage: Stage, hostile: Hostile) -> None:
    assert not stage.has_task(number_of(hostile))


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_b4_b5_it_gets_one_answer_that_names_the_problem(stage: Stage, hostile: Hostile) -> None:
    (answer,) = answers(stage, hostile)
    said = re.sub(r"\\(?=[^A-Za-z0-9\s])", "", answer.partition("\n")[0])
    assert hostile.answer in said


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_b4_b5_the_answer_shows_an_example(stage: Stage, hostile: Hostile) -> None:
    assert '{"type": "word-count", "args": {"path": "docs"}' in answers(stage, hostile)[0]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_the_answer_mentions_nobody_and_holds_no_html(stage: Stage, hostile: Hostile) -> None:
    (answer,) = answers(stage, hostile)
    assert re.search(r"@[A-Za-z0-9]", answer) is None
    assert re.search(r"(?<!\\)<(?!!-- sentinel)[A-Za-z/!]", answer) is None


def test_a_malformed_issue_that_is_put_right_becomes_a_task() -> None:
    stage = Stage()
    number = stage.hub.open("```sentinel\n{}\n```")
    stage.look()
    stage.hub.edit(number, GOOD)
    stage.look()
    assert stage.task(number).state == "pending"
    assert len(stage.hub.answers(number)) == 1


def test_a_malformed_issue_of_a_stranger_that_is_put_right_needs_an_approval() -> None:
    stage = Stage()
    number = stage.hub.open("```sentinel\n{}\n```", by="mallory")
    stage.look()
    stage.hub.edit(number, GOOD)
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_the_refusal_is_in_the_audit() -> None:
    stage = Stage()
    stage.hub.open("nothing")
    stage.look()
    assert "refuse issue-1: it has no fenced block that begins with ```sentinel" in stage.audit()
