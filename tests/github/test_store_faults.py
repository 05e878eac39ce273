"""What happens on the way to GitHub's API, and what must come of it (F7-F10, F15-F18)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel.errors import OutcomeUnknown, Rewound, Unavailable
from sentinel.github.errors import Declined, Limited, Unauthorised
from sentinel.github.store import ApiStore
from sentinel.store.base import ABSENT, DELETE, Committed, Conflicted, Expected, Refused, Transaction
from sentinel.testing.clock import ManualClock
from sentinel.testing.workbench import attempt, landed, transaction
from tests.github.bench import ApiBench
from tests.github.conftest import MakeApi
from tests.github.emulator import token
from tests.github.faults import Fault
from tests.github.proxy import Exchange, Proxy

STATE = r"PATCH .*/git/refs/heads/sentinel/state"
SESSION = r"(PATCH|POST) .*/git/refs(/sentinel/sessions/|$)"

#: All ways in which the answer to a change is not clear.
UNCLEAR = [
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER,
    Fault.BAD_GATEWAY_BEFORE,
    Fault.BAD_GATEWAY_AFTER,
    Fault.HTML,
    Fault.HTML_AFTER,
    Fault.TRUNCATED,
    Fault.TORN,
    Fault.UNAVAILABLE,
]


def create(key: str = "tasks/a") -> Transaction:
    return transaction({key: ABSENT}, {key: {"n": 1}}, f"create {key}")


@pytest.fixture
def bench(make_api: MakeApi, proxy: Proxy, tmp_path: Path) -> Iterator[ApiBench]:
    bench = ApiBench(make_api, tmp_path)
    yield bench
    bench.close()


Client = Callable[..., ApiStore]


@pytest.fixture
def client(bench: ApiBench) -> Iterator[Client]:
    """Opens clients whose pauses take no time."""
    opened: list[ApiStore] = []

    def one(**options: object) -> ApiStore:
        store = bench.open(clock=ManualClock(), **options)  # type: ignore[arg-type] # a test's own
        opened.append(store)
        return store

    yield one
    for store in opened:
        store.close()


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_commit_whose_reply_is_lost_is_one_logical_operation_f7_f8_f17(
    bench: ApiBench, client: Client, proxy: Proxy, fault: Fault
) -> None:
    store = client()
    proxy.fail(fault, STATE)
    assert isinstance(attempt(store, create()), Committed)
    assert bench.subjects().count("create tasks/a") == 1


def test_a_commit_that_waits_in_vain_for_its_reply_is_one_logical_operation_f10(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store = client(timeout=4.0)
    proxy.fail(Fault.SILENT_AFTER, STATE)
    assert isinstance(attempt(store, create()), Committed)
    assert bench.subjects().count("create tasks/a") == 1


@pytest.mark.parametrize("call", ["trees", "commits"])
@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.BAD_GATEWAY_AFTER])
def test_a_reply_that_is_lost_before_the_ref_moves_means_not_applied(
    bench: ApiBench, client: Client, proxy: Proxy, fault: Fault, call: str
) -> None:
    store = client()
    proxy.fail(fault, f"POST .*/git/{call}")
    with pytest.raises(Unavailable):
        attempt(store, create())
    assert "create tasks/a" not in bench.subjects()
    landed(store, create())


def test_an_open_outcome_is_settled_when_the_same_transaction_is_sent_again_f7(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store = client()
    tx = create()
    proxy.fail(Fault.RESET_AFTER, STATE)
    proxy.fail(Fault.RESET_BEFORE, "GET", times=None)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    proxy.heal()
    assert attempt(store, tx) == Committed(bench.head())
    assert bench.subjects().count("create tasks/a") == 1


def test_while_the_head_is_the_base_the_very_same_commit_is_sent_again(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store = client()
    tx = create()
    proxy.fail(Fault.RESET_BEFORE, STATE, times=None)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    proxy.heal()
    made = len(proxy.ledger.of("POST", "/git/commits"))
    assert attempt(store, tx) == Committed(bench.head())
    assert len(proxy.ledger.of("POST", "/git/commits")) == made


def test_when_the_head_went_past_the_base_without_it_it_is_landed_anew(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store = client()
    tx = create()
    proxy.fail(Fault.RESET_BEFORE, STATE, times=None)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    proxy.heal()
    bench.plant("tasks/other", b"by hand")
    assert isinstance(attempt(store, tx), Committed)
    assert bench.subjects()[:2] == ["create tasks/a", "by hand"]


def test_an_open_transaction_whose_keys_moved_meanwhile_conflicts(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store = client()
    tx = create()
    proxy.fail(Fault.RESET_BEFORE, STATE, times=None)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    proxy.heal()
    bench.plant("tasks/a", b'{"format":1,"n":2}')
    assert attempt(store, tx) == Conflicted(("tasks/a",))


def test_a_commit_that_landed_and_was_built_upon_is_found_in_the_history_f7(
    bench: ApiBench, client: Client, proxy: Proxy
) -> None:
    store, other = client(), client()
    tx = create()
    proxy.fail(Fault.RESET_AFTER, STATE)
    proxy.fail(Fault.RESET_BEFORE, "GET", times=None)
    with pytest.raises(OutcomeUnknown):
        attempt(store, tx)
    proxy.heal()
    mine = bench.head()
    for number in range(3):
        landed(other, create(f"tasks/{number}"))
    assert attempt(store, tx) == Committed(mine)


def test_a_refused_change_is_refused_and_its_neighbours_land(
    bench: ApiBench, client: Client, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client()
    make_tree = store._git.make_tree

    def refuse(base, files):  # type: ignore[no-untyped-def] # as `GitData.make_tree`
        if any(b"secret" in data for data in files.values()):
            raise Declined("GitHub refused it", 422, "push protection: a secret was found")
        return make_tree(base, files)

    monkeypatch.setattr(store._git, "make_tree", refuse)
    bad = transaction({"tasks/bad": ABSENT}, {"tasks/bad": {"text": "secret"}})
    outcomes = store.commit([create("tasks/a"), bad, create("tasks/b")])
    assert [type(outcome) for outcome in outcomes] == [Committed, Refused, Committed]
    assert outcomes[1] == Refused("push protection: a secret was found")


@pytest.mark.parametrize(("call", "status"), [("make_commit", 422), ("make_tree", 409)])
def test_a_refusal_that_says_nothing_of_what_is_written_refuses_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, call: str, status: int
) -> None:
    store = client()

    def refuse(*_: object) -> str:
        raise Declined("GitHub refused it", status, "Parent SHA does not exist")

    with monkeypatch.context() as patch:
        patch.setattr(store._git, call, refuse)
        with pytest.raises(Unavailable):
            attempt(store, create())
    landed(store, create())


def test_a_read_that_is_refused_after_a_move_does_not_refuse_what_was_moved(
    bench: ApiBench, client: Client, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tx = client(), create()

    def refuse(ref: str) -> str:
        raise Declined("GitHub refused it", 409, "try later")

    proxy.fail(Fault.RESET_AFTER, STATE)
    with monkeypatch.context() as patch:
        patch.setattr(store._git, "ref", refuse)
        with pytest.raises(OutcomeUnknown):
            attempt(store, tx)
    assert isinstance(attempt(store, tx), Committed)
    assert bench.subjects().count("create tasks/a") == 1


@pytest.mark.parametrize("fault", UNCLEAR)
def test_a_beat_whose_reply_is_lost_is_one_beat_f7_f8_f17(client: Client, proxy: Proxy, fault: Fault) -> None:
    store = client()
    version: Expected = ABSENT
    for seq in (1, 2):
        proxy.fail(fault, SESSION)
        outcome = store.publish("ab", {"seq": seq}, version)
        assert isinstance(outcome, Committed)
        version = outcome.revision
        assert store.published()["ab"].version == version


def test_a_beat_that_landed_and_was_sealed_before_its_reply_was_known_says_that_it_landed(
    client: Client, proxy: Proxy
) -> None:
    store, other = client(), client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    proxy.fail(Fault.RESET_AFTER, SESSION)

    def seal(exchange: Exchange) -> None:
        if exchange.method == "PATCH":
            proxy.watchers.remove(seal)
            now = other.published()["ab"].version
            assert isinstance(other.publish("ab", {"sealed_by": "other"}, now), Committed)

    proxy.watchers.append(seal)
    assert isinstance(store.publish("ab", {"seq": 2}, first.revision), Committed)
    assert store.published()["ab"].document == {"format": 1, "sealed_by": "other"}


def test_a_session_that_is_half_deleted_is_not_beaten_in_and_is_deleted_by_the_next(
    client: Client, proxy: Proxy
) -> None:
    store, other = client(), client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    proxy.fail(Fault.LACKS_PERMISSION, "DELETE")
    with pytest.raises(Unauthorised):
        store.publish("ab", DELETE, first.revision)
    assert store.publish("ab", {"seq": 2}, first.revision) == Conflicted(("ab",))
    left = other.published()["ab"]
    assert left.document is None
    assert other.publish("ab", DELETE, left.version) == Committed("")
    assert dict(store.published()) == {}


def test_a_stale_read_leaves_no_session_that_was_deleted(client: Client, proxy: Proxy) -> None:
    store, other = client(), client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    store._sessions._git.ref("refs/sentinel/sessions/ab")
    second = store.publish("ab", {"seq": 2}, first.revision)
    assert isinstance(second, Committed)
    proxy.fail(Fault.STALE, "GET .*/git/ref/sentinel", times=None)
    assert store.publish("ab", DELETE, second.revision) == Committed("")
    proxy.heal()
    assert dict(other.published()) == {}


def test_a_stale_read_after_a_lost_reply_is_no_other_beat(client: Client, proxy: Proxy) -> None:
    store = client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    store._sessions._git.ref("refs/sentinel/sessions/ab")
    second = store.publish("ab", {"seq": 2}, first.revision)
    assert isinstance(second, Committed)
    proxy.fail(Fault.RESET_AFTER, SESSION)
    proxy.fail(Fault.STALE, "GET .*/git/ref/sentinel")
    assert isinstance(store.publish("ab", {"seq": 3}, second.revision), Committed)


def test_a_session_whose_deletion_was_not_confirmed_is_deleted_once_more(
    client: Client, proxy: Proxy
) -> None:
    store = client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    proxy.fail(Fault.RESET_AFTER, "DELETE")
    assert store.publish("ab", DELETE, first.revision) == Committed("")
    assert dict(store.published()) == {}


def missing(proxy: Proxy, times: int) -> None:
    """The next ``times`` reads of a blob come from a copy that has not got it."""
    left = [times]

    def hide(exchange: Exchange) -> None:
        if exchange.method == "GET" and "/git/blobs/" in exchange.path and left[0]:
            left[0] -= 1
            exchange.status, exchange.answer = 404, b'{"message": "Not Found"}'

    proxy.watchers.insert(0, hide)


def test_a_blob_that_a_copy_of_github_has_not_got_yet_is_asked_for_again(
    client: Client, proxy: Proxy
) -> None:
    store = client()
    (name,) = client().keep([b"a log"])
    missing(proxy, 2)
    assert store.kept(name) == b"a log"


def test_whether_a_blob_is_kept_that_github_does_not_show_is_not_known(client: Client, proxy: Proxy) -> None:
    store = client()
    (name,) = client().keep([b"a log"])
    missing(proxy, 10)
    with pytest.raises(Unavailable, match="not to be seen everywhere yet"):
        store.kept(name)


def test_a_blob_that_github_has_not_shown_for_a_while_is_not_kept(bench: ApiBench) -> None:
    clock = ManualClock()
    store = bench.open(clock=clock)
    with pytest.raises(Unavailable):
        store.kept("1" * 40)
    clock.advance(120)
    assert store.kept("1" * 40) is None
    store.close()


def test_a_store_that_is_down_is_unavailable_and_comes_back_by_itself_f9(
    client: Client, proxy: Proxy
) -> None:
    store = client()
    proxy.fail(Fault.RESET_BEFORE, times=None)
    with pytest.raises(Unavailable):
        store.read()
    with pytest.raises(Unavailable):
        attempt(store, create())
    with pytest.raises(Unavailable):
        store.publish("ab", {}, ABSENT)
    proxy.heal()
    landed(store, create())
    assert store.read().get("tasks/a") is not None


@pytest.mark.parametrize(
    "fault",
    [Fault.SECONDARY, Fault.SECONDARY_RETRY_AFTER, Fault.TOO_MANY, Fault.TOO_MANY_BARE, Fault.PRIMARY],
)
def test_a_limit_means_not_applied_and_passes_f17(
    bench: ApiBench, client: Client, proxy: Proxy, fault: Fault
) -> None:
    clock = ManualClock()
    store = bench.open(clock=clock)
    proxy.fail(fault, STATE, retry_after=90)
    with pytest.raises(Limited) as limited:
        attempt(store, create())
    assert "create tasks/a" not in bench.subjects()
    with pytest.raises(Limited):
        store.read()
    clock.advance(limited.value.retry_after)
    landed(store, create())
    store.close()


def test_a_stale_read_is_no_rewound_branch(client: Client, proxy: Proxy) -> None:
    store = client()
    store.read()
    landed(store, create())
    store.read()
    proxy.fail(Fault.STALE, "GET .*/git/ref/heads", times=2)
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}


def test_a_token_that_is_revoked_in_mid_lease_is_named_and_nothing_is_sent_again_f18(
    client: Client, proxy: Proxy
) -> None:
    store = client()
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    proxy.tokens.pop(token("robot"))
    proxy.ledger.clear()
    with pytest.raises(Unauthorised, match=r"GITHUB_TOKEN.*revoked"):
        store.publish("ab", {"seq": 2}, first.revision)
    with pytest.raises(Unauthorised):
        attempt(store, create())
    assert [call.status for call in proxy.ledger.calls] == [401, 401]


@pytest.mark.parametrize(
    ("fault", "named"), [(Fault.LACKS_SCOPE, "scopes repo"), (Fault.LACKS_PERMISSION, "contents=write")]
)
def test_what_the_token_lacks_is_named_f18(client: Client, proxy: Proxy, fault: Fault, named: str) -> None:
    store = client()
    proxy.fail(fault, STATE)
    with pytest.raises(Unauthorised, match=named):
        attempt(store, create())


def test_a_deleted_folder_is_made_anew_f15(bench: ApiBench, tmp_path: Path) -> None:
    store = bench.open(folder=tmp_path / "mine")
    landed(store, create())
    shutil.rmtree(tmp_path / "mine")
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    landed(store, create("tasks/b"))
    store.close()


def test_damaged_objects_are_read_anew_f15(bench: ApiBench, tmp_path: Path) -> None:
    landed(bench.client(), create())
    store = bench.open(folder=tmp_path / "mine")
    store.read().get("tasks/a")
    store.close()
    for file in (tmp_path / "mine" / "api" / "0" / "git" / "objects").rglob("*"):
        if file.is_file():
            file.chmod(0o600)
            file.write_bytes(b"")
    store = bench.open(folder=tmp_path / "mine")
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    landed(store, create("tasks/b"))
    store.close()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_rewound_or_deleted_branch_is_an_alarm_that_is_remembered_f16(
    bench: ApiBench, tmp_path: Path, deleted: bool
) -> None:
    clock = ManualClock()
    store = bench.open(folder=tmp_path / "mine", clock=clock)
    old = bench.head()
    landed(store, create())
    newest = bench.head()
    if deleted:
        bench.api.send("DELETE", "repos/acme/fleet/git/refs/heads/sentinel/state")
    else:
        bench._force("heads/sentinel/state", old)
    with pytest.raises(Rewound, match=newest):
        store.read()
    assert isinstance(store.publish("ab", {}, ABSENT), Committed)
    store.close()
    with pytest.raises(Rewound, match="--force-with-lease=refs/heads/sentinel/state:"):
        bench.open(folder=tmp_path / "mine", clock=clock)


def test_a_commit_of_who_has_seen_the_newest_state_puts_a_rewound_branch_back(
    bench: ApiBench, client: Client
) -> None:
    store = client()
    old = bench.head()
    landed(store, create())
    bench._force("heads/sentinel/state", old)
    landed(store, create("tasks/b"))
    assert bench.subjects()[:2] == ["create tasks/b", "create tasks/a"]


def test_no_commit_makes_a_deleted_branch_anew_f16(bench: ApiBench, client: Client) -> None:
    store = client()
    bench.api.send("DELETE", "repos/acme/fleet/git/refs/heads/sentinel/state")
    with pytest.raises(Rewound):
        attempt(store, create())
