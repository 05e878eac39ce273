"""Issues as tasks: taken in once, run only as approved, answered in one comment."""

from __future__ import annotations

import json

import pytest

from sentinel.errors import OutcomeUnknown
from sentinel.fleet import locks
from sentinel.github.trust import Policy
from sentinel.model import layout
from sentinel.model.origin import spec_hash
from tests.github.hostile import block
from tests.github.memory_hub import Lossy
from tests.github.stage import DONE, FAILED, GOOD, OTHER, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- taking in ----------------------------------------------------------------------------------------------


def test_a_writers_issue_waits_for_a_worker(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    assert (stage.task(number).state, stage.task(number).args) == ("pending", {"path": "docs"})


def test_the_task_says_where_it_came_from(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    source = stage.task(number).source
    assert source is not None
    assert (source.kind, source.name, source.author, source.login) == ("issue", str(number), 3, "alice")


def test_an_issue_without_the_label_is_left_alone(stage: Stage) -> None:
    number = stage.hub.open(GOOD, labels=())
    stage.look()
    assert (stage.has_task(number), stage.hub.answers(number), stage.hub.sent) == (False, [], [])


def test_an_issue_that_gets_the_label_later_is_taken_in(stage: Stage) -> None:
    number = stage.hub.open(GOOD, labels=())
    stage.look()
    stage.hub.label(number, "sentinel", by="alice")
    stage.look()
    assert stage.task(number).state == "pending"


def test_a_closed_issue_is_not_taken_in(stage: Stage) -> None:
    stage.hub.open(GOOD)
    stage.look()
    number = stage.hub.open(GOOD)
    stage.hub.close(number)
    stage.look()
    assert not stage.has_task(number)


def test_looking_again_changes_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    revision, sent = stage.view().snapshot.revision, list(stage.hub.sent)
    stage.hub.pass_time(600)
    stage.look()
    assert (stage.view().snapshot.revision, stage.hub.sent) == (revision, sent)
    assert len(stage.hub.answers(number)) == 1


def test_done_is_said_in_one_comment_with_the_result(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, DONE, log=b"counting\nseven\n")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert "is done" in answer
    assert '"words": 7' in answer
    assert "counting\nseven" in answer


def test_done_closes_the_issue_and_says_so_by_its_label(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number)
    stage.look()
    assert (stage.hub.state(number), stage.hub.labels(number)) == ("closed", {"sentinel", "sentinel:done"})


def test_the_comment_is_edited_and_not_repeated(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)
    stage.look()
    assert "is running" in stage.hub.answers(number)[0]
    stage.end("issue-1", DONE)
    stage.look()
    assert len(stage.hub.answers(number)) == 1


def test_each_state_has_its_label_and_only_that(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    seen = []
    for step in (lambda: None, lambda: stage.run(number, None), lambda: stage.end("issue-1", FAILED)):
        step()
        stage.look()
        seen.append(sorted(stage.hub.labels(number)))
    assert seen == [["sentinel", f"sentinel:{state}"] for state in ("pending", "running", "failed")]


def test_what_happened_between_two_looks_is_said_once(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.sent.clear()
    stage.run(number, None)
    stage.end("issue-1", DONE)
    stage.look()
    edits = [sent for sent in stage.hub.sent if sent.startswith("PATCH repos/acme/fleet/issues/comments")]
    assert len(edits) == 1


def test_a_failed_issue_stays_open_with_error_attempts_log_and_remedy(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED, log=b"line one\nboom\n")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert stage.hub.state(number) == "open"
    for part in ("error: it broke", "| 1 | `w1` |", "boom", "`/retry`"):
        assert part in answer


def after(*names: str) -> str:
    return block(json.dumps({"type": "word-count", "args": {"path": "x"}, "after": names}))


def test_an_issue_may_run_after_another_of_the_same_look(stage: Stage) -> None:
    first, second = stage.hub.open(after("issue-2")), stage.hub.open(GOOD)
    stage.look()
    assert (stage.task(first).after, stage.task(second).state) == (("issue-2",), "pending")


def test_two_issues_that_wait_for_each_other_are_both_refused(stage: Stage) -> None:
    numbers = stage.hub.open(after("issue-2")), stage.hub.open(after("issue-1"))
    stage.look()
    assert [stage.has_task(number) for number in numbers] == [False, False]
    assert all("there is no such task" in stage.hub.answers(number)[0] for number in numbers)


# -- B1: who may --------------------------------------------------------------------------------------------


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


# -- B2: edits ----------------------------------------------------------------------------------------------


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


def test_b2_an_approval_that_names_the_hash_counts_whenever_it_was_written(stage: Stage) -> None:
    first = stage.hub.open(GOOD, by="mallory")
    stage.look()
    spec = spec_hash(stage.task(first))
    second = stage.hub.open(GOOD, by="mallory")
    stage.hub.say(second, f"/approve {spec[:12]}", by="alice")
    stage.look()
    assert stage.task(second).state == "pending"


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


def test_an_approval_by_the_command_line_counts_too(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.client().approve("issue-1")
    stage.look()
    assert (stage.task(number).state, "sentinel:pending" in stage.hub.labels(number)) == ("pending", True)


# -- closing, opening, commands -----------------------------------------------------------------------------


def test_closing_cancels_what_waits(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_closing_asks_the_worker_of_what_runs_to_end_it(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).cancel_requested == "its issue was closed"


def test_closing_cancels_even_when_the_label_was_taken_away(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.unlabel(number, "sentinel")
    stage.look()
    stage.hub.close(number)
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_opening_again_retries(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.look()
    stage.hub.close(number)
    stage.look()
    stage.hub.reopen(number)
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("pending", 2)


def test_opening_again_by_someone_who_may_not_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/approve")
    stage.look()
    stage.run(number, FAILED)
    stage.hub.close(number, by="mallory")
    stage.look()
    stage.hub.reopen(number, by="mallory")
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("failed", 1)
    assert "opened again, which starts nothing" in stage.audit()


def test_opening_again_what_is_done_starts_nothing_and_is_answered(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number)
    stage.look()
    stage.hub.reopen(number)
    stage.look()
    assert (stage.task(number).state, stage.hub.state(number)) == ("done", "open")
    assert "done is final" in stage.hub.answers(number)[0]


def test_retry_in_a_comment_opens_a_run_of_the_same_bytes(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry")
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("pending", 2)


def test_retry_of_an_edited_issue_needs_an_approval_of_the_new_text(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.look()
    stage.hub.edit(number, OTHER)
    stage.hub.say(number, "/retry")
    stage.look()
    task = stage.task(number)
    assert (task.state, task.run, task.args) == ("awaiting_approval", 2, {"path": "/etc"})


def test_retry_by_someone_who_may_not_starts_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry", by="reader")
    stage.look()
    assert stage.task(number).run == 1
    assert "/retry is refused: reader (5)" in stage.audit()


def test_cancel_in_a_comment_cancels(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.say(number, "/cancel")
    stage.look()
    assert (stage.task(number).state, stage.hub.state(number)) == ("cancelled", "open")


def test_an_author_may_cancel_what_he_asked_for(stage: Stage) -> None:
    number = stage.hub.open(GOOD, by="mallory")
    stage.look()
    stage.hub.say(number, "/cancel", by="mallory")
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_why_in_a_comment_is_answered_in_the_comment(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.say(number, "/why")
    stage.look()
    (answer,) = stage.hub.answers(number)
    assert "why by alice" in answer
    assert "no live worker takes tasks" in answer


def test_each_command_counts_once(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "/retry")
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, "thank you")
    stage.look()
    assert stage.task(number).run == 2


def test_several_commands_are_heeded_in_their_order(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    for words in ("/cancel", "/retry", "/cancel"):
        stage.hub.say(number, words)
    stage.look()
    assert (stage.task(number).state, stage.task(number).run) == ("cancelled", 2)


@pytest.mark.parametrize(
    "words",
    [
        "please /retry",
        "> /retry",
        "/retry now",
        "`/retry`",
        "/retry\u202e",
        "/RETRY",
        "//retry",
        "/retry/",
        " /retry",
    ],
)
def test_a_comment_for_people_is_no_command(stage: Stage, words: str) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, FAILED)
    stage.hub.say(number, words)
    stage.look()
    assert stage.task(number).run == 1


# -- one at a time, and through crashes ---------------------------------------------------------------------


def test_one_peer_looks_and_the_others_ask_github_nothing(stage: Stage) -> None:
    stage.hub.open(GOOD)
    stage.look("w1")
    stage.peer("w2")
    before = len(stage.hub.read)
    stage.look("w2")
    assert len(stage.hub.read) == before


def test_when_the_peer_that_looks_is_gone_another_goes_on(stage: Stage) -> None:
    first = stage.hub.open(GOOD)
    stage.look("w1")
    stage.peer("w2")
    stage.bury("w1")
    second = stage.hub.open(GOOD)
    stage.look("w2")
    assert (stage.has_task(second), len(stage.hub.answers(first))) == (True, 1)


def test_a_peer_that_is_gone_says_and_stores_nothing_more(stage: Stage) -> None:
    stage.hub.open(GOOD)
    stage.look("w1")
    stage.bury("w1")
    number = stage.hub.open(GOOD)
    stage.hub.sent.clear()
    stage.look("w1")
    assert (stage.has_task(number), stage.hub.sent) == (False, [])


def test_whoever_lost_the_lock_stores_nothing(stage: Stage) -> None:
    number = stage.hub.open(GOOD)

    def steal(method: str, path: str) -> None:
        stage.hub.before = lambda method, path: None
        stage.change(
            lambda snapshot: (
                locks.release(
                    stage.transactor.change(snapshot), snapshot, layout.INTAKE_LOCK, epoch=None, by="x"
                )[0],
                None,
            )
        )

    stage.hub.before = steal
    stage.duties["w1"].tick()
    document = stage.transactor.store.read().get(layout.outbox_key(number))
    assert document is not None
    assert document["comment"] is None


def test_a_crash_between_the_commit_and_the_comment_loses_no_comment(stage: Stage) -> None:
    number = stage.hub.open(GOOD)

    def die(method: str, path: str) -> None:
        raise KeyboardInterrupt

    stage.hub.before = die
    with pytest.raises(KeyboardInterrupt):
        stage.look()
    stage.hub.before = lambda method, path: None
    assert (stage.has_task(number), stage.hub.answers(number)) == (True, [])
    stage.bury("w1")
    stage.peer("w2")
    stage.look("w2")
    assert len(stage.hub.answers(number)) == 1


def test_a_crash_between_the_comment_and_its_record_makes_no_second_one(stage: Stage) -> None:
    number = stage.hub.open(GOOD)

    def die(method: str, path: str) -> None:
        raise KeyboardInterrupt

    stage.hub.after = die
    with pytest.raises(KeyboardInterrupt):
        stage.look()
    stage.hub.after = lambda method, path: None
    stage.bury("w1")
    stage.peer("w2")
    stage.look("w2")
    assert len(stage.hub.answers(number)) == 1


def test_a_lost_reply_to_the_comment_makes_no_second_one(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    Lossy(stage.hub, "POST .*/comments")
    stage.look()
    assert len(stage.hub.answers(number)) == 1
    assert stage.hub.sent.count(f"POST repos/acme/fleet/issues/{number}/comments") == 1


def test_a_comment_that_arrives_late_is_removed_and_the_lowest_number_stays(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    (first,) = stage.hub.on(number)
    stage.hub.say(number, first["body"], by="robot")
    stage.look()
    assert [comment["id"] for comment in stage.hub.on(number)] == [first["id"]]


def test_when_the_one_that_is_known_has_the_higher_number_it_goes(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    early = stage.hub.say(number, "to come", by="robot")
    stage.look()
    (ours,) = [comment for comment in stage.hub.on(number) if comment["id"] != early]
    marker = ours["body"].partition("\n")[0]
    stage.hub.comments[early].update(body=f"{marker}\n\nearlier", updated_at=stage.hub._now())
    stage.look()
    assert [comment["id"] for comment in stage.hub.on(number)] == [early]
    assert "waits for a worker" in stage.hub.answers(number)[0]


def test_a_strangers_copy_of_our_marker_is_left_where_it_is(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    (first,) = stage.hub.on(number)
    copy = stage.hub.say(number, first["body"], by="mallory")
    stage.look()
    assert [comment["id"] for comment in stage.hub.on(number)] == [first["id"], copy]


def test_a_strangers_marker_is_never_taken_for_our_comment(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    Lossy(stage.hub, "POST .*/comments", after=False)
    stage.duties["w1"].tick()
    entry = stage.transactor.store.read().get(layout.outbox_key(number))
    assert entry is not None
    forged = stage.hub.say(number, f"<!-- sentinel issue-{number} {entry['nonce']} -->\nhello", by="mallory")
    stage.look()
    assert stage.hub.comments[forged]["body"].endswith("hello")
    assert len(stage.hub.on(number)) == 2


def test_a_comment_of_ours_that_somebody_deleted_is_written_again(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.comments.clear()
    stage.run(number, None)
    stage.look()
    assert "is running" in stage.hub.answers(number)[0]


def test_a_comment_of_ours_that_somebody_edited_says_again_what_is_so(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    (ours,) = stage.hub.on(number)
    words = ours["body"]
    ours.update(body=words.replace("waits for a worker", "is done"), updated_at=stage.hub._now())
    stage.look()
    assert stage.hub.on(number)[0]["body"] == words


def test_words_that_github_keeps_otherwise_are_not_sent_again_and_again(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.sent.clear()
    for _ in range(5):
        comment = stage.hub.on(number)[0]
        comment.update(body=comment["body"].rstrip() + "\n\n", updated_at=stage.hub._now())
        stage.look(steps=1)
    assert len(stage.hub.sent) == 1


def test_a_lost_reply_to_an_edit_is_followed_by_the_same_edit(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number)
    Lossy(stage.hub, "PATCH .*/comments", after=False)
    stage.look()
    assert "is done" in stage.hub.answers(number)[0]


def test_a_label_that_somebody_takes_away_at_the_same_time_is_no_error(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.run(number, None)

    def race(method: str, path: str) -> None:
        if method == "DELETE":
            stage.hub.unlabel(number, "sentinel:pending")

    stage.hub.before = race
    stage.look()
    assert stage.hub.labels(number) == {"sentinel", "sentinel:running"}


def test_labels_that_people_add_at_the_same_time_stay(stage: Stage) -> None:
    number = stage.hub.open(GOOD)

    def race(method: str, path: str) -> None:
        if path.endswith("/labels") and "urgent" not in stage.hub.labels(number):
            stage.hub.label(number, "urgent", by="alice")

    stage.hub.before = race
    stage.look()
    assert stage.hub.labels(number) == {"sentinel", "sentinel:pending", "urgent"}


def test_an_issue_that_is_gone_holds_nobody_up(stage: Stage) -> None:
    first, second = stage.hub.open(GOOD), stage.hub.open(GOOD)
    stage.look()
    del stage.hub.issues[first]
    stage.run(first)
    stage.run(second)
    stage.look()
    assert stage.hub.state(second) == "closed"


def test_a_pull_request_is_no_issue(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.hub.issues[number]["pull_request"] = {"url": "x"}
    stage.look()
    assert not stage.has_task(number)


def test_an_id_that_another_task_has_is_refused(stage: Stage) -> None:
    stage.client().submit("word-count", {"path": "x"}, id="issue-1", allow_unknown_type=True)
    number = stage.hub.open(GOOD)
    stage.look()
    assert "was given to another task already" in stage.hub.answers(number)[0]


def test_a_hint_makes_the_next_step_look_at_that_issue(stage: Stage) -> None:
    number = stage.hub.open(GOOD)
    stage.look()
    stage.hub.issues[number].update(state="closed")
    stage.duties["w1"].changed(number)
    stage.look()
    assert stage.task(number).state == "cancelled"


def test_a_step_that_cannot_reach_github_raises_for_its_thread_to_try_again(stage: Stage) -> None:
    stage.hub.open(GOOD)
    Lossy(stage.hub, "POST .*/comments", after=False, times=3)
    for _ in range(2):
        stage.hub.open(GOOD)
    with pytest.raises(OutcomeUnknown):
        stage.duties["w1"].tick()
