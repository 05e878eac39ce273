"""Who may have what run: B1, permissions and labels; B2, approvals and edits."""

from __future__ import annotations

import json

import pytest

from sentinel.github.trust import Person, Policy, permission_of
from sentinel.model.origin import spec_hash
from tests.github.memory_hub import Lossy
from tests.github.stage import DONE, GOOD, OTHER, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("login", ["mallory", "reader", "triager", "ghost", "helper[bot]"])
def test_b1_an_issue_by_someone_without_write_permission_does_not_run(stage: Stage, login: str) -> None:
    number = stage.hub.open(GOOD, by=login)
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    assert "sentinel:needs-approval" in stage.hub.labels(number)


def test_b1_a_label_put_on_by_a_triager_starts_no_strangers_issue(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory", labels=())
    stage.hub.label(number, "sentinel", by="triager")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b1_a_label_put_on_by_a_triager_starts_no_writers_issue_either(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="alice", labels=())
    stage.hub.label(number, "sentinel", by="triager")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b1_a_label_in_other_letters_is_a_request_by_who_put_it_on_too(stage: Stage) -> None:
    stage.hub.open(GOOD)
    stage.look()
    number = stage.hub.open(GOOD, labels=())
    stage.hub.label(number, "Sentinel", by="triager")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def late(stage: Stage, number: int) -> None:
    """GitHub does not list the newest event of an issue yet."""
    stage.hub.late.add(stage.hub.events[number][-1]["id"])


def test_b1_while_github_does_not_tell_who_put_the_label_on_nothing_is_decided(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    late(stage, number)
    stage.look(steps=1)
    assert (stage.has_task(number), stage.hub.answers(number)) == (False, [])


def test_b1_a_label_that_github_tells_of_late_counts_as_who_put_it_on(stage: Stage) -> None:
    writers, triagers = stage.hub.open(GOOD), stage.hub.open(GOOD, labels=())
    stage.hub.label(triagers, "sentinel", by="triager")
    for number in (writers, triagers):
        late(stage, number)
    stage.look(steps=1)
    stage.hub.late.clear()
    stage.look()
    assert [stage.task(number).state for number in (writers, triagers)] == ["pending", "awaiting_approval"]


def test_b1_a_label_whose_giver_github_never_tells_of_gets_one_clear_answer(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    late(stage, number)
    stage.look(steps=10)
    assert stage.task(number).state == "awaiting_approval"
    assert "GitHub does not tell who put its label there" in stage.hub.answers(number)[0]


def test_b1_a_label_that_was_there_before_says_nothing_of_who_put_it_back(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.hub.unlabel(number, "sentinel")
    stage.hub.label(number, "sentinel", by="triager")
    late(stage, number)
    stage.look(steps=1)
    assert not stage.has_task(number)


def test_b1_an_issue_that_waits_is_found_by_who_goes_on(stage: Stage) -> None:
    stage.hub.open(GOOD)
    number = stage.hub.open(GOOD)
    late(stage, number)
    for _ in range(3):
        stage.hub.pass_time(300)
        stage.hub.open(GOOD)
        stage.clock.advance(30)
        stage.look(steps=1)
    stage.hub.late.clear()
    stage.bury("w1")
    stage.peer("w2")
    stage.look("w2")
    assert stage.task(number).state == "pending"


def test_a_command_on_an_issue_that_waits_is_heeded_when_that_is_decided(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    late(stage, number)
    stage.hub.say(number, "/cancel")
    stage.look(steps=1)
    stage.hub.pass_time(300)
    stage.hub.open(GOOD)
    stage.look(steps=1)
    stage.hub.late.clear()
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_a_role_of_an_organisation_gives_no_more_than_the_permission_it_includes(stage: Stage) -> None:
    answer = {"permission": "read", "role_name": "push", "user": {"id": 5, "login": "reader"}}
    assert permission_of(answer, Person(5, "reader")) == "read"


def test_where_permissions_may_not_be_asked_for_the_list_counts() -> None:
    stage = Stage(policy=Policy(allow=frozenset({3})))
    stage.hub.secret_permissions = True
    stranger, listed = stage.hub.open(GOOD, by="reader"), stage.hub.open(GOOD, by="alice")
    stage.look()
    assert (stage.task(stranger).state, stage.task(listed).state) == ("awaiting_approval", "pending")


def test_b1_a_label_put_on_by_a_writer_is_no_approval_of_a_strangers_issue(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory", labels=())
    stage.hub.label(number, "sentinel", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b1_the_label_of_the_state_is_no_approval(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.unlabel(number, "sentinel:needs-approval")
    stage.hub.label(number, "sentinel:pending", by="triager")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    assert stage.hub.labels(number) == {"sentinel", "sentinel:needs-approval"}


def test_b1_the_refusal_is_in_history_audit_and_comment(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    notes = [event.note for event in stage.task(number).history if event.event == "approval_needed"]
    why = "mallory (6) has the permission none, and needs write"
    assert notes == [why]
    assert f"take in issue-1, not approved: {why}" in stage.audit()
    assert "mallory (6) has the permission none" in stage.hub.answers(number)[0]


def test_a_name_that_somebody_else_has_by_now_gives_no_permission(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="alice")
    stage.hub.issues[number]["user"]["id"] = 99
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_who_is_on_the_list_needs_no_permission() -> None:
    stage = Stage(policy=Policy(allow=frozenset({6, 7})))
    numbers = [stage.hub.open(GOOD, by=login) for login in ("mallory", "helper[bot]")]
    stage.look()
    assert [stage.task(number).state for number in numbers] == ["pending", "pending"]


def test_with_a_higher_least_permission_a_writer_needs_an_approval() -> None:
    stage = Stage(policy=Policy(least="admin"))
    numbers = [stage.hub.open(GOOD, by=login) for login in ("alice", "acme")]
    stage.look()
    assert [stage.task(number).state for number in numbers] == ["awaiting_approval", "pending"]


def test_an_approver_may_approve_and_needs_an_approval() -> None:
    stage = Stage(policy=Policy(approvers=frozenset({5})))
    number = stage.hub.open(GOOD, by="reader")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    stage.hub.say(number, "/approve", by="reader")
    stage.look()
    assert stage.task(number).state == "pending"


def test_a_writers_approval_lets_a_strangers_issue_run(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    task = stage.task(number)
    assert task.state == "pending"
    assert task.approval is not None
    assert (task.approval.by, task.approval.by_id, task.approval.spec) == ("alice", 3, spec_hash(task))


@pytest.mark.parametrize("login", ["mallory", "reader", "triager", "ghost", "helper[bot]"])
def test_nobody_approves_who_may_not(stage: Stage, login: str) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve", by=login)
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    assert "/approve is refused" in stage.audit()
    assert "approve is refused" in stage.hub.answers(number)[0]


def test_b2_an_edit_after_the_approval_makes_it_void(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    stage.hub.edit(number, OTHER)
    stage.look()
    assert (stage.task(number).state, stage.events(number)[-1]) == ("awaiting_approval", "approval_void")
    assert "sentinel:needs-approval" in stage.hub.labels(number)


def test_b2_an_edit_of_a_writers_issue_makes_its_approval_void_too(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.edit(number, OTHER)
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b2_an_edit_of_the_prose_alone_leaves_the_approval_in_force(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.edit(number, f"Some words.\n\n{GOOD}")
    stage.look()
    assert stage.task(number).state == "pending"


def test_b2_after_the_claim_the_approved_bytes_run(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)
    stage.hub.edit(number, OTHER)
    stage.look()
    assert stage.task(number).args == {"path": "docs"}
    stage.end("issue-1", DONE)
    stage.look()
    assert "What runs is what was approved" in stage.hub.answers(number)[0]
    assert [task.args for task in stage.executed] == [{"path": "docs"}]


def test_b2_an_approval_that_comes_with_an_edit_counts_for_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.edit(number, OTHER)
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b2_an_approval_written_before_the_comment_showed_the_text_counts_for_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    assert "read it again" in stage.hub.answers(number)[0]


def test_b2_an_approval_in_the_second_in_which_the_comment_came_to_show_it_counts_for_nothing(
    stage: Stage,
) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    (ours,) = stage.hub.on(number)
    comment = stage.hub.say(number, "/approve", by="alice")
    stage.hub.comments[comment]["created_at"] = ours["updated_at"]
    stage.look()
    assert stage.task(number).state == "awaiting_approval"
    assert f"/approve {spec_hash(stage.task(number))}" in stage.hub.answers(number)[0]


def test_b2_an_approval_that_names_the_hash_counts_whenever_it_was_written(stage: Stage) -> None:
    first = stage.hub.open(GOOD, by="mallory")
    stage.look()
    spec = spec_hash(stage.task(first))
    second = stage.hub.open(GOOD, by="mallory")
    stage.hub.say(second, f"/approve {spec}", by="alice")
    stage.look()
    assert stage.task(second).state == "pending"


def test_b2_the_first_digits_of_a_hash_approve_only_what_was_shown(stage: Stage) -> None:
    # Two texts with the same first twelve digits take seconds to find; the second is what this stands for.
    first = stage.hub.open(OTHER, by="mallory")
    stage.look()
    digits = spec_hash(stage.task(first))[:12]
    second = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(second, f"/approve {digits}", by="alice")
    stage.hub.edit(second, OTHER)
    stage.look()
    assert stage.task(second).state == "awaiting_approval"


def test_b2_the_first_digits_of_the_hash_that_was_shown_approve(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, f"/approve {spec_hash(stage.task(number))[:12]}", by="alice")
    stage.look()
    assert stage.task(number).state == "pending"


def test_b2_what_is_too_long_to_be_shown_whole_is_not_approved_by_a_plain_command(stage: Stage) -> None:
    long = json.dumps({"type": "copy", "args": {"a": "@a" * 15_000, "z": "/etc/shadow"}})
    number = stage.hub.open(f"```sentinel\n{long}\n```", by="mallory")
    stage.look()
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b2_what_is_long_is_shown_whole_to_who_approves(stage: Stage) -> None:
    long = json.dumps({"type": "copy", "args": {"a": "x" * 20_000, "z": "/etc/shadow"}})
    number = stage.hub.open(f"```sentinel\n{long}\n```", by="mallory")
    stage.look()
    assert "/etc/shadow" in stage.hub.answers(number)[0]


def test_b2_an_approval_of_another_hash_counts_for_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve 0123456789ab", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b2_what_is_approved_is_shown_with_its_hash(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert spec_hash(stage.task(number)) in answer
    assert '"path": "docs"' in answer


def test_b2_an_edit_that_leaves_no_task_cancels_what_waits(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.edit(number, "never mind")
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_b2_an_approval_of_what_a_lost_edit_may_have_shown_counts_for_nothing(stage: Stage) -> None:
    number = stage.hub.open(OTHER, by="mallory")
    stage.look()
    Lossy(stage.hub, "PATCH .*/comments/", times=99)
    stage.hub.edit(number, GOOD)
    stage.look()
    assert '"path": "docs"' in stage.hub.answers(number)[0]
    stage.hub.edit(number, OTHER)
    stage.hub.say(number, "/approve", by="alice")
    stage.look()
    assert stage.task(number).state == "awaiting_approval"


def test_b2_an_approval_of_what_stood_in_a_comment_that_was_deleted_counts_for_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.comments.clear()
    Lossy(stage.hub, "POST .*/comments", times=99)
    stage.hub.edit(number, OTHER)
    stage.look(steps=1)
    assert '"path": "/etc"' in stage.hub.answers(number)[0]
    stage.hub.edit(number, GOOD)
    stage.hub.say(number, "/approve", by="alice")
    stage.look(steps=3)
    assert stage.task(number).state == "awaiting_approval"


def test_an_approval_by_the_command_line_counts_too(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.client().approve("issue-1")
    stage.look()
    assert (stage.task(number).state, "sentinel:pending" in stage.hub.labels(number)) == ("pending", True)
