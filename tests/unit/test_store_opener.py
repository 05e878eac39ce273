"""Which store a URL means."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.errors import BadInput
from sentinel.store import opener
from sentinel.store.opener import Opener, StoreOptions, kind_of, open_store, scheme_of


@pytest.mark.parametrize(
    "url", ["file:///srv/fleet.git", "/srv/fleet.git", "./fleet.git", "fleet", "a:b", "~/x"]
)
def test_a_path_and_a_file_url_are_a_local_store(url: str) -> None:
    assert (scheme_of(url), kind_of(url)) == ("file", "local")


@pytest.mark.parametrize("url", ["memory:", "memory://x"])
def test_memory_is_refused_with_a_place_to_use_instead(url: str) -> None:
    with pytest.raises(BadInput, match=r"is for tests; name a repository, such as \./fleet.git"):
        scheme_of(url)


@pytest.mark.parametrize("url", ["", " ", " fleet", "fleet\n", "a\0b", "-oProxyCommand=x", "--upload-pack=x"])
def test_what_is_no_place_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"is not a path or URL; try file:///srv/fleet.git"):
        scheme_of(url)


@pytest.mark.parametrize("url", ["ftp://host/x", "bogus://x", "https://user:hunter2@host/x", "://x"])
def test_an_unknown_scheme_is_refused_with_those_that_are_known(url: str) -> None:
    with pytest.raises(BadInput, match=r"this version knows .*file://.* and plain paths"):
        scheme_of(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(BadInput) as refused:
        scheme_of("bogus://user:hunter2@host/x")
    assert "hunter2" not in str(refused.value)


def test_another_package_can_bring_a_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(opener.OPENERS, "test", Opener("remote", "builtins:print", "builtins:print"))
    assert kind_of("test://x") == "remote"
    assert open_store("test://x", StoreOptions(state_folder=tmp_path)) is None
