"""The client: what is read again, what is never sent again, and what an answer means (F17, F18, B11)."""

from __future__ import annotations

import logging
import random
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.errors import OutcomeUnknown, StoreError, Unavailable
from sentinel.github.api import Api, Limits, Options, connect
from sentinel.github.cache import EtagCache, Kept
from sentinel.github.errors import Declined, Limited, Missing, Unauthorised
from sentinel.github.place import locate
from sentinel.testing.clock import ManualClock
from tests.github.conftest import MakeApi
from tests.github.emulator import APP_ID, INSTALLATION_ID, Emulator, token
from tests.github.faults import Fault
from tests.github.proxy import Exchange, Proxy

REPO = "repos/acme/fleet"
ISSUES = f"{REPO}/issues"


@pytest.fixture
def quick(make_api: MakeApi) -> Api:
    """A client whose pauses take no time."""
    return make_api(clock=ManualClock())


def issues(emulator: Emulator) -> list[str]:
    """The titles of all issues, as a person sees them."""
    return [issue["title"] for issue in emulator.call("GET", f"{ISSUES}?per_page=100").json()]


def open_issue(api: Api, title: str = "one") -> None:
    api.send("POST", ISSUES, {"title": title}, content=True)


# -- reads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RESET_BEFORE,
        Fault.RESET_AFTER,
        Fault.BAD_GATEWAY_BEFORE,
        Fault.UNAVAILABLE,
        Fault.HTML,
        Fault.TRUNCATED,
        Fault.TORN,
    ],
)
def test_a_read_that_fails_is_tried_again_f17(quick: Api, proxy: Proxy, fault: Fault) -> None:
    proxy.fail(fault)
    assert quick.get(REPO).body["full_name"] == "acme/fleet"
    assert len(proxy.ledger.calls) == 2


def test_a_read_that_always_fails_ends_as_unavailable(quick: Api, proxy: Proxy) -> None:
    proxy.fail(Fault.BAD_GATEWAY_BEFORE, times=None)
    with pytest.raises(Unavailable, match="502"):
        quick.get(REPO)
    assert len(proxy.ledger.calls) == 4


def test_a_read_that_nobody_answers_ends_in_time_f10(make_api: MakeApi, proxy: Proxy) -> None:
    proxy.fail(Fault.BLACK_HOLE, times=None)
    with pytest.raises(Unavailable, match="Timeout"):
        make_api(timeout=0.3).get(REPO)


def test_what_is_missing_is_missing_at_once(quick: Api, proxy: Proxy) -> None:
    with pytest.raises(Missing) as missing:
        quick.get(f"{ISSUES}/17")
    assert missing.value.path == f"{ISSUES}/17"
    assert len(proxy.ledger.calls) == 1


def test_a_list_is_read_over_all_its_pages(quick: Api, emulator: Emulator) -> None:
    for number in range(7):
        emulator.call("POST", ISSUES, {"title": f"{number}"})
    titles = [issue["title"] for issue in quick.pages(ISSUES, {"per_page": 3})]
    assert sorted(titles) == [f"{number}" for number in range(7)]


def test_each_page_of_a_list_that_did_not_change_is_free(
    quick: Api, emulator: Emulator, proxy: Proxy
) -> None:
    for number in range(5):
        emulator.call("POST", ISSUES, {"title": f"{number}"})
    first = list(quick.pages(ISSUES, {"per_page": 2}))
    proxy.ledger.clear()
    assert list(quick.pages(ISSUES, {"per_page": 2})) == first
    assert [call.status for call in proxy.ledger.calls] == [304] * 3
    assert proxy.ledger.charged == 0


def test_a_list_that_changed_is_read_anew(quick: Api, emulator: Emulator) -> None:
    assert list(quick.pages(ISSUES)) == []
    emulator.call("POST", ISSUES, {"title": "new"})
    assert [issue["title"] for issue in quick.pages(ISSUES)] == ["new"]


def test_what_a_caller_does_to_an_answer_changes_no_later_one(quick: Api) -> None:
    quick.get(REPO).body["full_name"] = "changed"
    assert quick.get(REPO).body["full_name"] == "acme/fleet"


def test_an_etag_is_used_for_its_own_token_alone(make_api: MakeApi, proxy: Proxy, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token("robot"))
    api = make_api(environ={"SENTINEL_TOKEN_FILE": str(file)})
    api.get(REPO)
    file.write_text(token("writer"))
    assert not api.get(REPO).cached
    assert proxy.ledger.charged == 2


def test_the_cache_forgets_what_nobody_asked_for_longest() -> None:
    cache = EtagCache(max_bytes=100)
    for name in "abcd":
        cache.put("t", name, Kept(name, 200, {}, "x" * 24))
    cache.get("t", "a")
    cache.put("t", "e", Kept("e", 200, {}, "x" * 24))
    assert [name for name in "abcde" if cache.get("t", name) is not None] == ["a", "c", "d", "e"]


def test_the_next_page_is_asked_of_the_same_host(quick: Api, proxy: Proxy) -> None:
    def mislead(exchange: Exchange) -> None:
        if "page=2" not in exchange.path:
            exchange.answer_headers["link"] = '<http://evil.example/x?page=2>; rel="next"'

    proxy.watchers.append(mislead)
    assert list(quick.pages(ISSUES)) == []
    assert [call.path.partition("?")[0] for call in proxy.ledger.calls] == [f"/{ISSUES}"] * 2


# -- mutations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        (Fault.RESET_BEFORE, 0),
        (Fault.RESET_AFTER, 1),
        (Fault.BAD_GATEWAY_BEFORE, 0),
        (Fault.BAD_GATEWAY_AFTER, 1),
        (Fault.UNAVAILABLE, 0),
        (Fault.HTML, 0),
        (Fault.HTML_AFTER, 1),
        (Fault.TRUNCATED, 1),
        (Fault.TORN, 1),
    ],
)
def test_a_mutation_without_a_clear_answer_is_open_and_is_sent_once_f7_f8_f17(
    quick: Api, emulator: Emulator, proxy: Proxy, fault: Fault, made: int
) -> None:
    proxy.fail(fault, "POST")
    with pytest.raises(OutcomeUnknown):
        open_issue(quick)
    assert len(proxy.ledger.of("POST")) == 1
    assert len(issues(emulator)) == made


def test_a_mutation_that_nobody_answers_is_open_f10(
    make_api: MakeApi, emulator: Emulator, proxy: Proxy
) -> None:
    proxy.fail(Fault.SILENT_AFTER, "POST")
    with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
        open_issue(make_api(timeout=2.0))
    assert issues(emulator) == ["one"]


def test_a_mutation_that_reached_nobody_was_certainly_not_applied(
    github_environ: dict[str, str],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    environ = {**github_environ, "GITHUB_API_URL": url}
    away = connect(locate("github://acme/fleet", environ), Options(environ=environ))
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_issue(away)


def test_what_github_will_not_do_is_declined_in_its_own_words(quick: Api) -> None:
    with pytest.raises(Declined) as declined:
        quick.send("POST", f"{REPO}/git/refs", {"ref": "nowhere", "sha": "0" * 40})
    assert (declined.value.status, declined.value.reason) == (422, "Invalid ref")


# -- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault.SECONDARY, 60),
        (Fault.SECONDARY_RETRY_AFTER, 90),
        (Fault.TOO_MANY, 90),
        (Fault.TOO_MANY_BARE, 60),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_limit_says_for_how_long_and_nothing_is_sent_before_f17(
    quick: Api, proxy: Proxy, emulator: Emulator, fault: Fault, seconds: float, method: str
) -> None:
    proxy.fail(fault, retry_after=90)
    ask: Callable[[], object] = (lambda: quick.get(REPO)) if method == "GET" else (lambda: open_issue(quick))
    with pytest.raises(Limited) as limited:
        ask()
    assert limited.value.retry_after == seconds
    with pytest.raises(Limited):
        quick.get(REPO)
    assert len(proxy.ledger.calls) == 1
    assert issues(emulator) == []


def test_a_read_waits_for_a_limit_that_passes_in_its_time_f17(quick: Api, proxy: Proxy) -> None:
    proxy.fail(Fault.SECONDARY_RETRY_AFTER, retry_after=5)
    assert quick.get(REPO).status == 200
    assert [call.status for call in proxy.ledger.calls] == [403, 200]


def test_refusals_that_name_no_time_are_waited_for_twice_as_long_each_time_f17(
    make_api: MakeApi, proxy: Proxy
) -> None:
    clock = ManualClock()
    api = make_api(clock=clock)
    proxy.fail(Fault.SECONDARY, times=3)
    pauses = []
    for _ in range(3):
        with pytest.raises(Limited) as limited:
            api.get(REPO)
        pauses.append(limited.value.retry_after)
        clock.advance(pauses[-1])
    assert pauses == [60, 120, 240]
    assert api.get(REPO).status == 200


def test_an_hour_that_is_used_up_is_waited_for_by_githubs_own_clock_f17(
    make_api: MakeApi, proxy: Proxy
) -> None:
    # Our clock is two hours wrong, which must not matter.
    clock = ManualClock()
    clock.wall_offset += 7200
    proxy.allowed.an_hour = 1
    api = make_api(clock=clock)
    api.get(REPO)
    with pytest.raises(Limited) as limited:
        api.get(ISSUES)
    # And some seconds more by chance: others wait for the same moment.
    assert 3590 <= limited.value.retry_after <= 3601 + 30
    assert len(proxy.ledger.calls) == 1


def test_those_who_wait_for_the_hour_do_not_come_back_in_one_moment(make_api: MakeApi, proxy: Proxy) -> None:
    proxy.allowed.an_hour = 1
    waits = []
    for seed in range(5):
        api = make_api("writer", clock=ManualClock(), rng=random.Random(seed))
        api.get(REPO)
        with pytest.raises(Limited) as limited:
            api.get(ISSUES)
        waits.append(limited.value.retry_after)
        proxy.reset()
        proxy.allowed.an_hour = 1
    assert max(waits) - min(waits) > 5.0


def test_the_meter_counts_what_was_sent_and_knows_what_is_left(quick: Api, proxy: Proxy) -> None:
    quick.get(REPO)
    quick.get(REPO)
    open_issue(quick)
    usage = quick.meter.usage
    counted = (usage.requests, usage.charged, usage.cached, usage.reads, usage.writes, usage.contents)
    assert counted == (3, 2, 1, 2, 1, 1)
    assert usage.points == proxy.ledger.points == 7
    assert (usage.limit, usage.remaining) == (5000, 4998)


def test_our_own_limits_keep_githubs_from_refusing_anything(make_api: MakeApi, proxy: Proxy) -> None:
    clock = ManualClock()
    api = make_api(clock=clock, limits=Limits(), timeout=120.0)
    for number in range(85):
        before = clock.now()
        open_issue(api, f"{number}")
        proxy.clock.advance(clock.now() - before)
    assert proxy.ledger.refused == 0
    assert proxy.ledger.contents == 85


# -- credentials --------------------------------------------------------------------------------------


def test_a_refused_token_is_named_by_where_it_comes_from_f18(quick: Api, proxy: Proxy) -> None:
    proxy.tokens.pop(token("robot"))
    with pytest.raises(Unauthorised, match=r"GITHUB_TOKEN.*revoked or have expired"):
        quick.get(REPO)
    assert len(proxy.ledger.calls) == 1


def test_a_token_that_was_replaced_in_its_file_is_used_at_once_f18(
    make_api: MakeApi, proxy: Proxy, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("revoked-token")
    api = make_api(environ={"SENTINEL_TOKEN_FILE": str(file)}, clock=ManualClock())
    with pytest.raises(Unauthorised, match="SENTINEL_TOKEN_FILE"):
        api.get(REPO)
    file.write_text(token("robot"))
    assert api.get(REPO).status == 200


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (Fault.LACKS_SCOPE, r"one of the scopes repo, and has read:org"),
        (Fault.LACKS_PERMISSION, r"permission contents=write"),
    ],
)
def test_the_missing_scope_or_permission_is_named_f18(
    quick: Api, proxy: Proxy, fault: Fault, named: str
) -> None:
    proxy.fail(fault)
    with pytest.raises(Unauthorised, match=named):
        open_issue(quick)


@pytest.fixture
def app_environ(emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    """The environment of a GitHub App."""
    key = tmp_path / "key.pem"
    key.write_text(emulator.private_key)
    return {
        "SENTINEL_GITHUB_APP_ID": str(APP_ID),
        "SENTINEL_GITHUB_INSTALLATION_ID": str(INSTALLATION_ID),
        "SENTINEL_GITHUB_PRIVATE_KEY_FILE": str(key),
    }


def test_an_app_signs_in_once_an_hour_by_its_installation(
    make_api: MakeApi, proxy: Proxy, app_environ: dict[str, str]
) -> None:
    api = make_api(environ=app_environ)
    for number in range(3):
        api.send("POST", f"{REPO}/git/blobs", {"content": f"{number}", "encoding": "utf-8"})
    assert len(proxy.ledger.of("POST", "/access_tokens")) == 1
    assert [call.status for call in proxy.ledger.of("POST", "/git/blobs")] == [201] * 3


def test_an_apps_token_that_is_about_to_end_is_replaced(
    make_api: MakeApi, proxy: Proxy, app_environ: dict[str, str]
) -> None:
    # The token names the time of its end.
    clock = ManualClock(wall=proxy.clock.now())
    api = make_api(environ=app_environ, clock=clock)
    api.get(REPO)
    clock.advance(3400)
    api.get(REPO)
    assert len(proxy.ledger.of("POST", "/access_tokens")) == 2


def test_what_is_no_private_key_is_named_and_not_shown_b11(
    make_api: MakeApi, app_environ: dict[str, str]
) -> None:
    Path(app_environ["SENTINEL_GITHUB_PRIVATE_KEY_FILE"]).write_text("a-very-secret-key")
    with pytest.raises(Unauthorised, match="private key") as refused:
        make_api(environ=app_environ).get(REPO)
    assert "a-very-secret-key" not in shown(refused.value)


def shown(error: BaseException) -> str:
    """All that a traceback shows of an error and its causes."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_token_is_in_any_error_log_or_repr_b11(
    make_api: MakeApi, proxy: Proxy, caplog: pytest.LogCaptureFixture, fault: Fault, method: str
) -> None:
    caplog.set_level(logging.DEBUG)
    api = make_api(clock=ManualClock(), timeout=0.3)
    proxy.fail(fault, times=None, retry_after=90)
    text = repr(api)
    try:
        if method == "GET":
            api.get(REPO)
        else:
            open_issue(api)
    except StoreError as error:
        text += shown(error)
    assert token("robot") not in text + caplog.text
