"""One peer at a time; and through crashes, lost replies, doubles and races, one comment and right labels."""

from __future__ import annotations

import pytest

from sentinel.errors import OutcomeUnknown
from sentinel.fleet import locks
from sentinel.model import layout
from tests.github.memory_hub import Lossy
from tests.github.stage import GOOD, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


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
