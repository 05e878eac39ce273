"""What a network does to a store far away, and what must come of it."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import pygit2
import pytest

from sentinel.errors import OutcomeUnknown, Rewound, Unavailable
from sentinel.model.layout import STATE_REF
from sentinel.store.base import ABSENT, Committed, Conflicted, Refused, Transaction
from sentinel.store.remote import RemoteStore
from sentinel.testing.workbench import attempt, landed, transaction
from tests.remote.bench import RemoteBench
from tests.remote.conftest import MakeBench
from tests.remote.proxy import SLOW, Fault, Proxy

#: What one exchange may take where a fault makes it last to the end, in seconds.
SHORT = 4.0


def create(key: str = "tasks/a") -> Transaction:
    return transaction({key: ABSENT}, {key: {"n": 1}}, f"create {key}")


def recorded(store: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commits that ``store`` sends to the state branch from now on."""
    sent: list[str] = []
    mirror = store._mirror
    send_each = mirror.send_each

    def record(updates, **options):  # type: ignore[no-untyped-def] # as `Mirror.send_each`
        sent.extend(str(update.commit) for update in updates if update.ref == STATE_REF)
        return send_each(updates, **options)

    monkeypatch.setattr(mirror, "send_each", record)
    return sent


@pytest.fixture
def bench(make_http_bench: MakeBench, http_proxy: Proxy) -> RemoteBench:
    """A repository on the web server, behind the proxy."""
    return make_http_bench(http_proxy.port)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RESET_BEFORE_EFFECT,
        Fault.RESET_AFTER_EFFECT,
        Fault.SILENT_AFTER_EFFECT,
        Fault.BAD_GATEWAY_AFTER_EFFECT,
    ],
)
def test_a_commit_whose_reply_is_lost_is_one_logical_operation_f7_f8(
    bench: RemoteBench, http_proxy: Proxy, fault: Fault
) -> None:
    store = bench.open(timeout=SHORT)
    http_proxy.set(fault, times=1)
    assert isinstance(attempt(store, create()), Committed)
    assert http_proxy.met == 1
    assert bench.subjects().count("create tasks/a") == 1
    store.close()


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE_EFFECT, Fault.RESET_AFTER_EFFECT])
def test_the_same_over_gits_own_protocol_f8(
    make_daemon_bench: MakeBench, daemon_proxy: Proxy, fault: Fault
) -> None:
    bench = make_daemon_bench(daemon_proxy.port)
    store = bench.client()
    daemon_proxy.set(fault, times=1)
    assert isinstance(attempt(store, create()), Committed)
    assert daemon_proxy.met == 1
    assert bench.subjects().count("create tasks/a") == 1


def test_an_open_outcome_is_settled_when_the_same_transaction_is_sent_again_f7(
    bench: RemoteBench, http_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.open()
    assert isinstance(store, RemoteStore)
    tx = create()
    sent = recorded(store, monkeypatch)
    mirror_fetch = store._mirror.fetch

    def no_answer(**_: bool) -> None:
        raise Unavailable("no reply comes through")

    http_proxy.set(Fault.RESET_AFTER_EFFECT, times=1)
    monkeypatch.setattr(store._mirror, "fetch", no_answer)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    monkeypatch.setattr(store._mirror, "fetch", mirror_fetch)
    assert attempt(store, tx) == Committed(sent[0])
    assert len(sent) == 1
    assert bench.subjects().count("create tasks/a") == 1
    store.close()


def test_while_the_head_is_the_base_the_very_same_commit_is_sent_again(
    bench: RemoteBench, http_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.open()
    tx = create()
    sent = recorded(store, monkeypatch)
    http_proxy.set(Fault.RESET_BEFORE_EFFECT)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    http_proxy.set(None)
    outcome = attempt(store, tx)
    assert len(set(sent)) == 1
    assert outcome == Committed(sent[0])
    store.close()


def test_when_the_head_went_past_the_base_without_it_it_is_landed_anew(
    bench: RemoteBench, http_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.open()
    tx = create()
    sent = recorded(store, monkeypatch)
    http_proxy.set(Fault.RESET_BEFORE_EFFECT)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    bench.plant("tasks/other", b"by hand")
    http_proxy.set(None)
    outcome = attempt(store, tx)
    assert isinstance(outcome, Committed)
    assert outcome.revision not in sent[:-1]
    assert bench.subjects()[:2] == ["create tasks/a", "by hand"]
    store.close()


def test_an_open_transaction_whose_keys_moved_meanwhile_conflicts(
    bench: RemoteBench, http_proxy: Proxy
) -> None:
    store = bench.open()
    tx = create()
    http_proxy.set(Fault.RESET_BEFORE_EFFECT)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    bench.plant("tasks/a", b'{"format":1,"n":2}')
    http_proxy.set(None)
    assert attempt(store, tx) == Conflicted(("tasks/a",))
    store.close()


def test_a_beat_whose_reply_is_lost_is_open_and_shows_when_read(
    bench: RemoteBench, http_proxy: Proxy
) -> None:
    store = bench.open()
    http_proxy.set(Fault.BAD_GATEWAY_AFTER_EFFECT, times=1)
    with pytest.raises(OutcomeUnknown):
        store.publish("ab", {"seq": 1}, ABSENT)
    assert store.published()["ab"].document == {"format": 1, "seq": 1}
    store.close()


def test_a_beat_that_the_http_library_sent_twice_is_confirmed(bench: RemoteBench, http_proxy: Proxy) -> None:
    store = bench.open()
    http_proxy.set(Fault.RESET_AFTER_EFFECT, times=1)
    assert isinstance(store.publish("ab", {"seq": 1}, ABSENT), Committed)
    assert http_proxy.met == 1
    store.close()


def test_a_store_that_is_down_is_unavailable_and_comes_back_by_itself_f9(
    bench: RemoteBench, http_proxy: Proxy
) -> None:
    store = bench.client()
    http_proxy.set(Fault.RESET)
    for _ in range(2):
        with pytest.raises(Unavailable):
            store.read()
    with pytest.raises(Unavailable):
        attempt(store, create())
    with pytest.raises(Unavailable):
        store.publish("ab", {}, ABSENT)
    http_proxy.set(None)
    landed(store, create())
    assert store.read().get("tasks/a") is not None


def test_a_black_hole_ends_every_call_in_time_f10(bench: RemoteBench, http_proxy: Proxy) -> None:
    store = bench.open(timeout=1.0)
    http_proxy.set(Fault.BLACK_HOLE)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="in time"):
        store.read()
    with pytest.raises(OutcomeUnknown, match="in time"):
        store.publish("ab", {}, ABSENT)
    # Generous: this is about an end at all.
    assert time.monotonic() - began < 60
    store.close()


def test_a_slow_line_is_slow_and_works_f10(bench: RemoteBench, http_proxy: Proxy) -> None:
    http_proxy.rate = SLOW
    store = bench.client()
    landed(store, create())
    names = store.keep([bytes(range(256)) * 60])
    assert bench.client().kept(names[0]) == bytes(range(256)) * 60


def test_an_error_page_before_anything_was_sent_means_not_applied_f17(
    bench: RemoteBench, http_proxy: Proxy
) -> None:
    store = bench.client()
    store.read()
    http_proxy.set(Fault.UNAVAILABLE, times=1)
    with pytest.raises(Unavailable, match="503"):
        attempt(store, create())
    assert "create tasks/a" not in bench.subjects()
    landed(store, create())


def test_a_web_page_instead_of_git_is_named_as_such_f17(bench: RemoteBench, http_proxy: Proxy) -> None:
    store = bench.client()
    http_proxy.set(Fault.HTML)
    with pytest.raises(Unavailable, match="not a git server"):
        store.read()
    with pytest.raises(Unavailable, match="not a git server"):
        attempt(store, create())


# -- the mirror ---------------------------------------------------------------------------------------


def mirror_of(folder: Path) -> Path:
    return folder / "mirrors" / "0" / "git"


def test_a_deleted_mirror_is_made_anew_f15(file_bench: RemoteBench, tmp_path: Path) -> None:
    store = file_bench.open(folder=tmp_path / "mine")
    landed(store, create())
    shutil.rmtree(mirror_of(tmp_path / "mine"))
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    landed(store, create("tasks/b"))
    store.close()


def test_a_deleted_state_folder_is_made_anew_f15(file_bench: RemoteBench, tmp_path: Path) -> None:
    store = file_bench.open(folder=tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine")
    landed(store, create())
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    store.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_corrupt_mirror_is_set_aside_and_made_anew_f15(
    file_bench: RemoteBench, tmp_path: Path, caplog: pytest.LogCaptureFixture, reopened: bool
) -> None:
    folder = tmp_path / "mine"
    store = file_bench.open(folder=folder)
    landed(store, create())
    for file in (mirror_of(folder) / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(b"")
    if reopened:
        store.close()
        store = file_bench.open(folder=folder)
    landed(file_bench.client(), create("tasks/b"))
    documents = None
    for _ in range(4):
        try:
            snapshot = store.read()
            documents = [snapshot.get(key) for key in ("tasks/a", "tasks/b")]
            break
        except Unavailable:
            continue
    assert documents == [{"format": 1, "n": 1}] * 2
    landed(store, create("tasks/c"))
    assert mirror_of(folder).with_name("git.broken").exists()
    assert any("set aside" in record.message for record in caplog.records)
    store.close()


def test_an_open_transaction_survives_the_loss_of_the_mirror(
    bench: RemoteBench, http_proxy: Proxy, tmp_path: Path
) -> None:
    store = bench.open(folder=tmp_path / "mine")
    tx = create()
    http_proxy.set(Fault.RESET_BEFORE_EFFECT)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    shutil.rmtree(mirror_of(tmp_path / "mine"))
    http_proxy.set(None)
    assert isinstance(attempt(store, tx), Committed)
    assert bench.subjects().count("create tasks/a") == 1
    store.close()


# -- the branch ---------------------------------------------------------------------------------------


def set_branch(bench: RemoteBench, oid: str | None) -> None:
    """Move the branch on the server by hand."""
    reference = bench.repository.lookup_reference(STATE_REF)
    if oid is None:
        reference.delete()
    else:
        reference.set_target(pygit2.Oid(hex=oid))


@pytest.mark.parametrize("deleted", [False, True])
def test_a_rewound_or_deleted_branch_is_an_alarm_that_is_remembered_f16(
    file_bench: RemoteBench, tmp_path: Path, deleted: bool
) -> None:
    folder = tmp_path / "mine"
    store = file_bench.open(folder=folder)
    old = file_bench.head()
    landed(store, create())
    newest = file_bench.head()
    set_branch(file_bench, None if deleted else old)
    for _ in range(2):
        with pytest.raises(Rewound, match=newest):
            store.read()
    with pytest.raises(Rewound):
        attempt(store, create("tasks/b"))
    assert isinstance(store.publish("ab", {}, ABSENT), Committed)
    store.close()
    with pytest.raises(Rewound, match=r"git -C .* push --force-with-lease=refs/heads/sentinel/state:"):
        file_bench.open(folder=folder)


@pytest.mark.parametrize("deleted", [False, True])
def test_the_repair_that_the_alarm_prints_works_f16(
    file_bench: RemoteBench, tmp_path: Path, deleted: bool
) -> None:
    import re
    import subprocess

    store = file_bench.open(folder=tmp_path / "mine")
    old = file_bench.head()
    landed(store, create())
    set_branch(file_bench, None if deleted else old)
    with pytest.raises(Rewound) as alarm:
        store.read()
    command = re.search(r"`(git -C [^`]*)`", str(alarm.value))
    assert command is not None
    subprocess.run(command[1].split(), check=True, capture_output=True)
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    store.close()


def test_whoever_never_saw_the_newer_head_is_not_alarmed(file_bench: RemoteBench) -> None:
    old = file_bench.head()
    landed(file_bench.client(), create())
    set_branch(file_bench, old)
    landed(file_bench.client(), create("tasks/b"))


def test_a_new_mirror_finds_the_head_that_was_seen_however_far_back_it_is(
    file_bench: RemoteBench, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    store = file_bench.open(folder=folder)
    store.close()
    shutil.rmtree(folder / "mirrors")
    for number in range(300):
        file_bench.plant(f"tasks/{number}", b"{}")
    file_bench.open(folder=folder).close()


# -- refusals -----------------------------------------------------------------------------------------


def hook(bench: RemoteBench, name: str, text: str) -> None:
    file = bench.path / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_only_the_culprit_of_a_batch_is_refused_by_a_hook(file_bench: RemoteBench) -> None:
    hook(
        file_bench,
        "update",
        'git diff "$2" "$3" | grep -q forbidden && { echo "a secret was found" >&2; exit 1; }; exit 0',
    )
    store = file_bench.client()
    batch = [
        transaction({f"tasks/{n}": ABSENT}, {f"tasks/{n}": {"text": "forbidden" if n == 3 else "fine"}})
        for n in range(5)
    ]
    outcomes = store.commit(batch)
    assert [type(outcome) for outcome in outcomes] == [Committed, Committed, Committed, Refused, Committed]
    assert "a secret was found" in str(outcomes[3])
    assert sorted(store.read().list("tasks/")) == ["tasks/0", "tasks/1", "tasks/2", "tasks/4"]


def test_a_push_over_the_size_limit_of_the_server_is_refused(file_bench: RemoteBench) -> None:
    file_bench.repository.config["receive.maxInputSize"] = "20000"
    store = file_bench.client()
    noise = "".join(f"{number * 7919 % 104729:x}" for number in range(20_000))
    batch = [
        transaction({"tasks/a": ABSENT}, {"tasks/a": {"text": "small"}}),
        transaction({"tasks/b": ABSENT}, {"tasks/b": {"text": noise}}),
    ]
    assert [type(outcome) for outcome in store.commit(batch)] == [Committed, Refused]


def test_conflicts_at_the_ref_alone_are_landed_again_without_a_new_decision(
    file_bench: RemoteBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = file_bench.client()
    store.read()
    file_bench.plant("tasks/other", b"{}")
    landed(store, create())
    assert file_bench.subjects()[:2] == ["create tasks/a", "by hand"]
