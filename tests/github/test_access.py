"""What may be done with which token, found out at the emulator; and a repository that is set up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sentinel.fleet.access import AccessOptions
from sentinel.github import access, furniture
from sentinel.github.api import Options
from sentinel.model.check import Check
from sentinel.testing.clock import ManualClock
from tests.github.conftest import UNLIMITED
from tests.github.emulator import APP_ID, INSTALLATION_ID, OWNER, REPO, Emulator, token
from tests.github.proxy import Proxy

URL = f"github+api://{OWNER}/{REPO}"
WRITES = ("contents: write", "issues: write")

Checks = dict[str, Check]
Examine = Callable[..., Checks]


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second between two writes is not what is tested here."""
    for module in (access, furniture):
        monkeypatch.setattr(module, "Options", functools.partial(Options, limits=UNLIMITED))


@pytest.fixture
def examine(github_environ: dict[str, str]) -> Examine:
    """Tries the connection as a user, or with another environment."""

    def run(login: str = "robot", clock: ManualClock | None = None, **environ: str) -> Checks:
        given = {**github_environ, "GITHUB_TOKEN": token(login), **environ}
        options = AccessOptions(environ=given) if clock is None else AccessOptions(environ=given, clock=clock)
        return {check.name: check for check in access.examine(URL, options)}

    return run


def test_a_token_that_may_do_everything_is_told_so(examine: Examine) -> None:
    checks = examine()
    assert {check.name: check.level for check in checks.values() if check.level == "fail"} == {}
    assert "personal access token (classic)" in checks["credentials"].message
    assert all(checks[name].message == "allowed" for name in (*WRITES, "contents: read", "issues: read"))


def test_trying_changes_nothing(examine: Examine, emulator: Emulator, proxy: Proxy) -> None:
    def state() -> list[object]:
        paths = ("labels", "issues?state=all", "git/matching-refs/")
        return [emulator.call("GET", f"repos/{OWNER}/{REPO}/{path}").json() for path in paths]

    before = state()
    examine()
    assert state() == before
    assert proxy.ledger.refused == 0


def test_a_permission_that_is_missing_is_named(examine: Examine) -> None:
    checks = examine("reader")
    failed = {check.name for check in checks.values() if check.level == "fail"}
    assert "contents: write" in failed
    assert all(checks[name].fix and checks[name].status == 5 for name in failed)


def test_a_token_that_github_does_not_know_ends_the_trial(examine: Examine) -> None:
    checks = examine(GITHUB_TOKEN="ghp_nobody")
    assert (checks["API"].level, checks["API"].status) == ("fail", 5)
    assert "repository" not in checks


def test_no_token_is_ever_shown(examine: Examine) -> None:
    told = repr(list(examine("reader").values()))
    assert token("reader") not in told


def test_the_token_of_an_app_is_told_apart(examine: Examine, emulator: Emulator, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(emulator.private_key)
    checks = examine(
        SENTINEL_GITHUB_APP_ID=str(APP_ID),
        SENTINEL_GITHUB_INSTALLATION_ID=str(INSTALLATION_ID),
        SENTINEL_GITHUB_PRIVATE_KEY_FILE=str(key),
    )
    assert "installation of a GitHub App" in checks["credentials"].message


def test_a_clock_that_is_wrong_is_said(examine: Examine) -> None:
    clock = ManualClock()
    checks = examine(clock=clock)
    assert checks["clock"].level == "warn"
    assert "synchronise" in (checks["clock"].fix or "")


def test_little_that_is_left_of_the_hour_is_said(examine: Examine, proxy: Proxy) -> None:
    proxy.account(token("robot")).begin(proxy.clock.now(), proxy.allowed, write=False, content=False)
    proxy.account(token("robot")).used = 4500
    checks = examine()
    assert (checks["rate limit"].level, checks["rate limit"].message[:11]) == ("warn", "500 of 5000")


def test_asking_for_the_limits_is_free(github_environ: dict[str, str], proxy: Proxy) -> None:
    access.limits(URL, AccessOptions(environ=github_environ))
    assert proxy.ledger.charged == 0


def test_limits_are_told_with_what_is_left(github_environ: dict[str, str], proxy: Proxy) -> None:
    found = access.limits(URL, AccessOptions(environ=github_environ))
    first = found[0]
    assert (first.allowed, first.told) == (5000.0, True)
    assert first.resets_in is not None
    assert 0 <= first.resets_in <= 3600
    assert [limit.name for limit in found[1:]] == ["points", "content", "content", "pushes", "git reads"]


# --- setting up -------------------------------------------------------------------------------------------


def furnish(environ: Mapping[str, str], *, dry_run: bool = False) -> list[str]:
    return furniture.furnish(URL, AccessOptions(environ=environ), dry_run=dry_run)


def labels(emulator: Emulator) -> set[str]:
    found = emulator.call("GET", f"repos/{OWNER}/{REPO}/labels?per_page=100").json()
    return {label["name"] for label in found}


def test_a_repository_gets_its_labels_and_its_form_once(
    github_environ: dict[str, str], emulator: Emulator, proxy: Proxy
) -> None:
    done = furnish(github_environ)
    assert len(done) == len(furniture.LABELS) + 1
    assert set(furniture.LABELS) <= labels(emulator)
    form = emulator.call("GET", f"repos/{OWNER}/{REPO}/contents/{furniture.FORM}")
    assert form.status_code == 200
    assert furnish(github_environ) == []


def test_a_dry_run_says_the_same_and_makes_nothing(
    github_environ: dict[str, str], emulator: Emulator, proxy: Proxy
) -> None:
    before = labels(emulator)
    told = furnish(github_environ, dry_run=True)
    assert labels(emulator) == before
    assert [line.replace("Would make", "Made") for line in told] == furnish(github_environ)


def test_a_form_that_people_changed_is_left_as_it_is(
    github_environ: dict[str, str], emulator: Emulator, proxy: Proxy
) -> None:
    path = f"repos/{OWNER}/{REPO}/contents/{furniture.FORM}"
    emulator.call("PUT", path, {"message": "ours", "content": "b3Vycwo="})
    furnish(github_environ)
    assert emulator.call("GET", path).json()["content"].strip() == "b3Vycwo="


def test_the_form_is_yaml_with_a_block_that_is_a_task() -> None:
    text = furniture.FORM_TEXT
    assert "\t" not in text
    assert 'labels: ["sentinel"]' in text
    assert text.count("```sentinel\n") == 1
