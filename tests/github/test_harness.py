"""The GitHub that the other tests talk to behaves as GitHub does where the emulator alone does not."""

from __future__ import annotations

import pytest
import requests

from sentinel.github.api import Api
from sentinel.github.errors import Declined, Unauthorised
from tests.github.conftest import MakeApi
from tests.github.emulator import USERS, Emulator, token
from tests.github.proxy import Proxy


def test_an_unchanged_answer_is_not_modified_and_not_charged(api: Api, proxy: Proxy) -> None:
    first, second = (api.get("repos/acme/fleet") for _ in range(2))
    assert (first.cached, second.cached, second.body) == (False, True, first.body)
    assert [(call.status, call.charged) for call in proxy.ledger.calls] == [(200, True), (304, False)]


def test_a_token_that_nobody_has_is_refused(proxy: Proxy, make_api: MakeApi) -> None:
    proxy.tokens.pop(token("robot"))
    with pytest.raises(Unauthorised):
        make_api().get("repos/acme/fleet")


def test_moving_a_ref_that_is_missing_is_unprocessable(api: Api) -> None:
    with pytest.raises(Declined) as refused:
        api.send("PATCH", "repos/acme/fleet/git/refs/heads/gone", {"sha": "0" * 40})
    assert refused.value.status == 422


@pytest.mark.parametrize("login", [login for login, permission in USERS.items() if permission != "none"])
def test_each_user_has_the_permission_that_was_seeded(api: Api, login: str) -> None:
    told = api.get(f"repos/acme/fleet/collaborators/{login}/permission").body["permission"]
    assert told == USERS[login]


def test_a_reset_takes_back_what_was_done(api: Api, emulator: Emulator) -> None:
    api.send("POST", "repos/acme/fleet/issues", {"title": "one"}, content=True)
    assert len(list(api.pages("repos/acme/fleet/issues"))) == 1
    emulator.reset()
    assert list(api.pages("repos/acme/fleet/issues")) == []


def test_the_published_limits_are_kept(proxy: Proxy) -> None:
    proxy.allowed.points_a_minute = 3
    headers = {"Authorization": f"token {token('robot')}"}

    def ask() -> requests.Response:
        return requests.get(f"{proxy.url}/repos/acme/fleet", headers=headers, timeout=30)

    assert [ask().status_code for _ in range(4)] == [200, 200, 200, 403]
    proxy.clock.advance(61)
    assert ask().status_code == 200


def test_git_is_served_to_who_has_the_token(github_git: str) -> None:
    url = f"{github_git}/acme/fleet.git/info/refs?service=git-upload-pack"
    answers = [requests.get(url, auth=("x", word), timeout=30) for word in ("wrong", token("robot"))]
    assert [answer.status_code for answer in answers] == [401, 200]


def test_the_comments_of_a_repository_are_one_list(api: Api) -> None:
    for title in ("one", "two"):
        made = api.send("POST", "repos/acme/fleet/issues", {"title": title}, content=True).body
        path = f"repos/acme/fleet/issues/{made['number']}/comments"
        api.send("POST", path, {"body": title}, content=True)
    listed = list(api.pages("repos/acme/fleet/issues/comments", {"sort": "updated"}))
    assert [comment["body"] for comment in listed] == ["one", "two"]
    since = listed[1]["updated_at"]
    later = api.pages("repos/acme/fleet/issues/comments", {"since": since})
    assert [comment["body"] for comment in later] == ["two"]
