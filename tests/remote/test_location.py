"""Store URLs of Git servers: what they may hold, and that no part of them is ever an option."""

from __future__ import annotations

import pytest

from sentinel.errors import BadInput
from sentinel.store.location import locate
from sentinel.store.opener import kind_of


@pytest.mark.parametrize(
    ("store", "url"),
    [
        ("git+file:///srv/fleet.git", "file:///srv/fleet.git"),
        ("git+file://localhost/srv/fleet.git", "file:///srv/fleet.git"),
        ("git+ssh://host/srv/fleet.git", "ssh://host/srv/fleet.git"),
        ("git+ssh://git@host.example:2222/srv/fleet.git", "ssh://git@host.example:2222/srv/fleet.git"),
        ("git+ssh://[::1]:22/fleet.git", "ssh://[::1]:22/fleet.git"),
        ("git+https://github.com/o/r", "https://github.com/o/r"),
        ("git+https://me@example.org/a%20b.git", None),
        ("git+http://127.0.0.1:8080/fleet.git", "http://127.0.0.1:8080/fleet.git"),
    ],
)
def test_a_store_url_names_what_git_is_told(store: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(BadInput, match="blank"):
            locate(store)
    else:
        assert locate(store).url == url
        assert kind_of(store) == "remote"


@pytest.mark.parametrize(
    "store",
    [
        "git+ssh://-oProxyCommand=x/fleet.git",
        "git+ssh://-oProxyCommand=x@host/fleet.git",
        "git+ssh://user@-oProxyCommand=x/fleet.git",
        "git+ssh://host:-oProxyCommand=x/fleet.git",
        "git+ssh://ho$(id)st/fleet.git",
        "git+ssh://ho`id`st/fleet.git",
        "git+ssh://host/fleet.git%0aevil",
        "git+ssh://host/fl\neet.git",
        "git+ssh://host/fl\0eet.git",
        "git+ssh://host:0/fleet.git",
        "git+ssh://host:99999/fleet.git",
        "git+ssh:///fleet.git",
        "git+ssh://host",
        "git+ssh://host/",
        "git+https://host/x?y=z",
        "git+https://host/x#y",
        "git+file://host/fleet.git",
        "git+ext://sh -c id/x",
        "ssh://host/fleet.git",
        "git+ssh:host/fleet.git",
    ],
)
def test_a_url_that_git_or_ssh_could_take_for_something_else_is_refused(store: str) -> None:
    with pytest.raises(BadInput):
        locate(store)


@pytest.mark.parametrize(
    "store",
    [
        "git+https://me:hunter2secret@host/fleet.git",
        "git+https://:hunter2secret@host/fleet.git",
        "git+ssh://me:hunter2secret@host:22/fleet.git",
        "git+http://x-access-token:hunter2secret@127.0.0.1/x",
    ],
)
def test_a_password_in_a_url_is_refused_naming_the_token_file_and_not_the_password(store: str) -> None:
    with pytest.raises(BadInput, match="SENTINEL_TOKEN_FILE") as refusal:
        locate(store)
    assert "hunter2" not in str(refusal.value)


def test_a_url_that_is_refused_for_another_reason_shows_no_secret_either() -> None:
    with pytest.raises(BadInput) as refusal:
        locate("git+https://hunter2secret@-host/fleet.git")
    assert "hunter2" not in str(refusal.value)
