"""Which repository, on which GitHub, with which credentials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from sentinel.errors import BadInput
from sentinel.github.credential import credential
from sentinel.github.errors import Unauthorised
from sentinel.github.opening import location_of
from sentinel.github.place import locate

SECRET = "ghp_averysecrettoken"


@pytest.mark.parametrize(
    ("environ", "api", "server"),
    [
        ({}, "https://api.github.com", "https://github.com"),
        (
            {"GITHUB_API_URL": "https://api.github.com", "GITHUB_SERVER_URL": "https://github.com"},
            "https://api.github.com",
            "https://github.com",
        ),
        ({"GITHUB_SERVER_URL": "https://ghe.corp/"}, "https://ghe.corp/api/v3", "https://ghe.corp"),
        ({"GITHUB_API_URL": "https://ghe.corp/api/v3"}, "https://ghe.corp/api/v3", "https://ghe.corp"),
        ({"GITHUB_SERVER_URL": "https://acme.ghe.com"}, "https://api.acme.ghe.com", "https://acme.ghe.com"),
        ({"GITHUB_API_URL": "https://api.acme.ghe.com"}, "https://api.acme.ghe.com", "https://acme.ghe.com"),
        ({"GITHUB_API_URL": "http://127.0.0.1:4001"}, "http://127.0.0.1:4001", "http://127.0.0.1:4001"),
        (
            {"GITHUB_API_URL": "http://127.0.0.1:1", "GITHUB_SERVER_URL": "http://127.0.0.1:2"},
            "http://127.0.0.1:1",
            "http://127.0.0.1:2",
        ),
    ],
)
def test_the_environment_says_on_which_github_a_repository_is(
    environ: Mapping[str, str], api: str, server: str
) -> None:
    place = locate("github://acme/fleet", environ)
    assert (place.api_url, place.server_url, place.full_name) == (api, server, "acme/fleet")


@pytest.mark.parametrize(
    "url",
    [
        "github://acme",
        "github://acme/",
        "github:///fleet",
        "github://acme/fleet/more",
        "github://-acme/fleet",
        "github://ac me/fleet",
        "github://acme/..",
        "github://acme/fl%65et",
        "github://acme/fleet?x",
        "github+api://acme",
        "github://acme/$(id)",
        "git+https://github.com/acme/fleet",
    ],
)
def test_what_is_no_repository_is_refused_b3(url: str) -> None:
    with pytest.raises(BadInput, match="github"):
        locate(url, {})


def test_a_token_in_the_url_is_refused_and_not_shown_b11() -> None:
    with pytest.raises(BadInput) as refused:
        locate(f"github://{SECRET}@acme/fleet", {})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["ghe.corp", "ftp://ghe.corp", "https://", "https://u:p@ghe.corp", "https://h?x"]
)
def test_a_variable_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="GITHUB_SERVER_URL"):
        locate("github://acme/fleet", {"GITHUB_SERVER_URL": url})


def test_git_finds_the_repository_on_the_server_of_people() -> None:
    location = location_of(locate("github://acme/fleet", {"GITHUB_SERVER_URL": "http://127.0.0.1:81"}))
    assert (location.url, location.transport, location.authority) == (
        "http://127.0.0.1:81/acme/fleet.git",
        "http",
        "127.0.0.1:81",
    )


def app(file: Path) -> dict[str, str]:
    return {
        "SENTINEL_GITHUB_APP_ID": "4711",
        "SENTINEL_GITHUB_INSTALLATION_ID": "100",
        "SENTINEL_GITHUB_PRIVATE_KEY_FILE": str(file),
    }


def test_a_token_file_goes_before_an_app_and_an_app_before_a_token(tmp_path: Path) -> None:
    environ = {
        "GITHUB_TOKEN": SECRET,
        **app(tmp_path / "key"),
        "SENTINEL_TOKEN_FILE": str(tmp_path / "token"),
    }
    kinds = [credential(environ).kind]
    del environ["SENTINEL_TOKEN_FILE"]
    kinds.append(credential(environ).kind)
    kinds.append(credential({"GITHUB_TOKEN": SECRET, "GITHUB_ACTIONS": "true"}).kind)
    kinds.append(credential({"GITHUB_TOKEN": SECRET}).kind)
    assert kinds == ["token file", "app", "actions", "token"]


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    found = credential({"SENTINEL_TOKEN_FILE": str(file)})
    file.write_text("one\nnot this\n")
    assert found.token() == "one"
    file.write_text("  two  ")
    assert found.token() == "two"


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff\xfe", b"a\x00b"])
def test_a_file_without_a_token_is_named_and_its_content_is_not(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unauthorised, match="SENTINEL_TOKEN_FILE") as refused:
        credential({"SENTINEL_TOKEN_FILE": str(file)}).token()
    assert "two words" not in str(refused.value)


@pytest.mark.parametrize("missing", sorted(app(Path("key"))))
def test_half_an_app_names_the_missing_half(missing: str, tmp_path: Path) -> None:
    environ = app(tmp_path / "key")
    del environ[missing]
    with pytest.raises(Unauthorised, match=missing):
        credential(environ)


def test_without_credentials_the_remedy_is_named() -> None:
    with pytest.raises(Unauthorised, match="set GITHUB_TOKEN"):
        credential({})


def test_no_token_shows_in_a_repr_b11() -> None:
    assert SECRET not in repr(credential({"GITHUB_TOKEN": SECRET}))
