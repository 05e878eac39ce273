"""Who is let in, and where a token never is [B11]."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sentinel.errors import NotAStore, Unavailable
from sentinel.store import askpass
from sentinel.store.base import ABSENT
from sentinel.store.credentials import credentials
from sentinel.store.location import locate
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import open_remote
from sentinel.testing.workbench import landed, transaction
from tests.remote import servers
from tests.remote.conftest import MakeBench
from tests.remote.proxy import Proxy

CANARY = "ghp_canary5f1c0ffee7token"
WRITE = transaction({"tasks/a": ABSENT}, {"tasks/a": {}})


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(CANARY + "\n")
    return file


def test_a_token_file_lets_us_in(
    make_http_bench: MakeBench, web: servers.SmartHttp, token_file: Path
) -> None:
    web.password = CANARY
    bench = make_http_bench(environ={"SENTINEL_TOKEN_FILE": str(token_file)})
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


def test_github_token_lets_us_in_on_this_machine(make_http_bench: MakeBench, web: servers.SmartHttp) -> None:
    web.password = CANARY
    bench = make_http_bench(environ={"GITHUB_TOKEN": CANARY, "SENTINEL_TOKEN_FILE": ""})
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


def test_the_users_credential_helper_lets_us_in(
    make_http_bench: MakeBench, web: servers.SmartHttp, tmp_path: Path
) -> None:
    web.password = CANARY
    (tmp_path / "home").mkdir()
    (tmp_path / "stored").write_text(f"http://me:{CANARY}@127.0.0.1:{web.port}\n")
    (tmp_path / "home" / ".gitconfig").write_text(
        f"[credential]\n\thelper = store --file={tmp_path}/stored\n[user]\n\tname = x\n"
    )
    environ = {"HOME": str(tmp_path / "home"), "GITHUB_TOKEN": "", "SENTINEL_TOKEN_FILE": ""}
    landed(make_http_bench(environ=environ).client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


@pytest.mark.parametrize("given", [None, "wrong"])
def test_without_the_right_token_one_sentence_names_the_remedy(
    make_http_bench: MakeBench, web: servers.SmartHttp, tmp_path: Path, given: str | None
) -> None:
    web.password = CANARY
    (tmp_path / "home").mkdir()
    environ = {"GITHUB_TOKEN": given or "", "SENTINEL_TOKEN_FILE": "", "HOME": str(tmp_path / "home")}
    with pytest.raises(Unavailable, match="SENTINEL_TOKEN_FILE"):
        make_http_bench(environ=environ).open()


def test_a_token_that_is_revoked_while_we_work_is_unavailable_f18(
    make_http_bench: MakeBench, web: servers.SmartHttp, token_file: Path
) -> None:
    web.password = CANARY
    store = make_http_bench(environ={"SENTINEL_TOKEN_FILE": str(token_file)}).client()
    web.password = "another"
    with pytest.raises(Unavailable, match="did not take"):
        store.read()
    with pytest.raises(Unavailable, match="did not take"):
        store.commit([transaction({"tasks/a": ABSENT}, {"tasks/a": {}})])
    token_file.write_text("another\n")
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))


@pytest.mark.parametrize(
    ("store", "environ", "given"),
    [
        ("git+https://github.com/o/r", {}, True),
        ("git+https://gitlab.example/o/r", {}, False),
        ("git+https://github.com.evil.example/o/r", {}, False),
        ("git+https://evil.example/github.com", {}, False),
        ("git+https://ghe.example/o/r", {"GITHUB_SERVER_URL": "https://ghe.example"}, True),
        ("git+http://localhost:8080/r", {}, True),
        ("git+http://10.0.0.1/r", {}, False),
        ("git+ssh://github.com/o/r", {}, False),
    ],
)
def test_github_token_is_for_github_and_this_machine_alone(
    tmp_path: Path, store: str, environ: dict[str, str], given: bool
) -> None:
    found = credentials(locate(store), {"GITHUB_TOKEN": CANARY, **environ}, tmp_path)
    assert found.own is given
    assert CANARY not in repr(found)


def test_askpass_answers_for_its_own_origin_alone() -> None:
    environ = {askpass.ORIGIN: "https://a.example", askpass.VARIABLE: "T", "T": CANARY}
    assert askpass.answer("Password for 'https://x-access-token@a.example': ", environ) == CANARY
    assert askpass.answer("Username for 'https://a.example': ", environ) == askpass.USER
    for origin in ("https://b.example", "http://a.example", "https://a.example.evil", "https://a.example@b"):
        assert askpass.answer(f"Password for '{origin}': ", environ) is None


def test_askpass_never_shows_what_is_in_a_file_that_it_cannot_use(tmp_path: Path) -> None:
    environ = {askpass.ORIGIN: "https://a.example", askpass.FILE: str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, askpass.__file__, "Password for 'https://a.example': "],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr


def command_lines() -> str:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                found.append((folder / "cmdline").read_bytes().decode("utf-8", "replace"))
            except OSError:
                continue
    return "\n".join(found)


def test_the_token_is_in_no_process_list_log_mirror_error_or_history_b11(
    make_http_bench: MakeBench,
    web: servers.SmartHttp,
    http_proxy: Proxy,
    token_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    web.password = CANARY
    http_proxy.rate = 20_000
    bench = make_http_bench(http_proxy.port, environ={"SENTINEL_TOKEN_FILE": str(token_file)})
    done = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        while not done.is_set():
            seen.append(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    folder = tmp_path / "mine"
    try:
        store = bench.open(folder=folder)
        landed(store, WRITE)
        store.keep([b"a log"])
        store.publish("ab", {"seq": 1}, ABSENT)
        web.password = "another"
        with pytest.raises(Unavailable) as refusal:
            store.read()
        store.close()
    finally:
        done.set()
        watcher.join()
    assert any("git-remote-http" in lines or "remote-http" in lines for lines in seen)
    assert not any(CANARY in lines for lines in seen)
    assert CANARY not in str(refusal.value) + repr(refusal.value.__cause__)
    assert CANARY not in caplog.text
    for place in (folder, bench.path):
        for file in place.rglob("*"):
            assert not file.is_file() or CANARY.encode() not in file.read_bytes(), file
    log = subprocess.run(
        ["git", "-C", str(bench.path), "log", "--all", "-p"], capture_output=True, text=True, check=True
    )
    assert CANARY not in log.stdout


# -- ssh and what is wrong with a place -----------------------------------------------------------------


def test_a_key_that_the_server_does_not_know_is_refused_with_the_remedy(
    make_ssh_bench: MakeBench, ssh_server: servers.Sshd
) -> None:
    environ = {"GIT_SSH_COMMAND": ssh_server.command(key="stranger")}
    with pytest.raises(Unavailable, match="key"):
        make_ssh_bench(environ=environ).open()


def test_a_host_whose_key_is_unknown_is_refused_with_the_remedy(
    make_ssh_bench: MakeBench, ssh_server: servers.Sshd
) -> None:
    environ = {"GIT_SSH_COMMAND": ssh_server.command(known="nobody")}
    with pytest.raises(Unavailable, match="once by hand"):
        make_ssh_bench(environ=environ).open()


def test_ssh_without_multiplexing_reads_and_writes(make_ssh_bench: MakeBench) -> None:
    store = make_ssh_bench().client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert store.read().get("tasks/a") == {"format": 1}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("git+file:///nowhere/fleet.git", "no such repository"),
        ("git+http://127.0.0.1:1/fleet.git", "127.0.0.1"),
        ("git+ssh://127.0.0.1:1/fleet.git", "refused"),
        ("git+https://no-such-host.invalid/x", "host is not known"),
    ],
)
def test_a_place_that_is_not_there_is_named_in_one_sentence_b12(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(Unavailable, match=words) as failure:
        open_remote(url, StoreOptions(state_folder=tmp_path, timeout=20))
    assert "\n" not in str(failure.value)


def test_a_missing_repository_on_a_web_server_is_named(web: servers.SmartHttp, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no such repository"):
        open_remote(f"git+http://127.0.0.1:{web.port}/no.git", StoreOptions(state_folder=tmp_path))


def test_a_repository_without_a_fleet_is_no_store(
    web: servers.SmartHttp, make_http_bench: MakeBench, tmp_path: Path, repository: Path
) -> None:
    bench = make_http_bench()
    bench.repository.lookup_reference("refs/heads/sentinel/state").delete()
    with pytest.raises(NotAStore, match="sentinel init --store git"):
        bench.open()
