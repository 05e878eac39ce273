"""The stores that a URL of GitHub opens, as the command line and workers open them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sentinel.errors import NotAStore
from sentinel.github.errors import Unauthorised
from sentinel.github.store import ApiStore
from sentinel.store.base import ABSENT, Committed
from sentinel.store.opener import StoreOptions, create_store, kind_of, open_store
from sentinel.store.remote import RemoteStore
from sentinel.testing.workbench import landed, transaction
from tests.github.emulator import APP_ID, INSTALLATION_ID, Emulator
from tests.github.proxy import Exchange, Proxy
from tests.remote import servers

API, GIT = "github+api://acme/fleet", "github://acme/fleet"


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch, github_environ: dict[str, str]) -> None:
    """This process is in the environment of one that signs in as ``robot``."""
    for name in ("SENTINEL_TOKEN_FILE", "GITHUB_SERVER_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GITHUB_API_URL", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, github_environ[name])


@pytest.fixture
def with_git(signed_in: None, github_git: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same, with git's server beside the API."""
    monkeypatch.setenv("GITHUB_SERVER_URL", github_git)
    return github_git


def options(folder: Path) -> StoreOptions:
    return StoreOptions(actor="tester", state_folder=folder)


@pytest.mark.parametrize("url", [API, GIT])
def test_a_store_on_github_is_reached_by_many_hosts(url: str) -> None:
    assert kind_of(url) == "remote"


def test_a_fleet_is_made_once_by_the_api_and_opened(signed_in: None, tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match=re.escape(f"sentinel init --store {API}")):
        open_store(API, options(tmp_path))
    would = create_store(API, options(tmp_path), dry_run=True)
    assert would == [f"Would make the branch sentinel/state in {API}."]
    made = [create_store(API, options(tmp_path)) for _ in range(2)]
    assert made == [[f"Made the branch sentinel/state in {API}."], []]
    store = open_store(API, options(tmp_path))
    assert isinstance(store, ApiStore)
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    store.close()


def test_a_repository_that_is_not_there_is_named(signed_in: None, tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="acme/other"):
        create_store("github+api://acme/other", options(tmp_path))


def test_without_credentials_the_api_store_names_the_remedy(
    signed_in: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    with pytest.raises(Unauthorised, match="set GITHUB_TOKEN"):
        open_store(API, options(tmp_path))


def test_a_fleet_on_github_by_git_has_the_same_token(
    with_git: str, git_web: servers.SmartHttp, tmp_path: Path
) -> None:
    assert create_store(GIT, options(tmp_path)) == [f"Made the branch sentinel/state in {GIT}."]
    store = open_store(GIT, options(tmp_path))
    assert isinstance(store, RemoteStore)
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    assert isinstance(store.publish("ab", {"seq": 1}, ABSENT), Committed)
    store.close()
    assert git_web.pushes == 3


def test_an_app_signs_git_in_with_a_token_of_its_installation(
    with_git: str,
    git_web: servers.SmartHttp,
    proxy: Proxy,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    key = tmp_path / "key.pem"
    key.write_text(emulator.private_key)
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("SENTINEL_GITHUB_APP_ID", str(APP_ID))
    monkeypatch.setenv("SENTINEL_GITHUB_INSTALLATION_ID", str(INSTALLATION_ID))
    monkeypatch.setenv("SENTINEL_GITHUB_PRIVATE_KEY_FILE", str(key))
    folder = tmp_path / "state"

    def let_in(exchange: Exchange) -> None:
        if exchange.path.endswith("/access_tokens"):
            git_web.password = json.loads(exchange.answer)["token"]

    git_web.password = "nobody yet"
    proxy.watchers.append(let_in)
    create_store(GIT, options(folder))
    store = open_store(GIT, options(folder))
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}))
    store.close()
    assert len(proxy.ledger.of("POST", "/access_tokens")) == 1
    assert (folder / "github-token").stat().st_mode & 0o777 == 0o600
