"""Faults B8 and B12: records that cannot be read, and places that are no store. The rest works on."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sentinel.model import layout
from sentinel.store.tree import path_of
from tests.cli.conftest import Place, Run


def plant(place: Place, key: str, data: bytes) -> None:
    """Commit bytes under a key, as somebody with a text editor and git would."""
    index = place.folder / "planting-index"

    def git(*args: str, stdin: bytes | None = None) -> str:
        ran = subprocess.run(
            ["git", "-C", str(place.store), "-c", "user.name=x", "-c", "user.email=x@example.org", *args],
            input=stdin,
            capture_output=True,
            check=True,
            env={**place.environ, "GIT_INDEX_FILE": str(index)},
        )
        return ran.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", stdin=data)
    git("read-tree", "sentinel/state")
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{'/'.join(path_of(key))}")
    tree = git("write-tree")
    head = git("rev-parse", "sentinel/state")
    commit = git("commit-tree", tree, "-p", head, "-m", f"plant {key}")
    git("update-ref", "refs/heads/sentinel/state", commit, head)


BAD = {
    "torn": b'{"format": 1, "id"',
    "of a future format": b'{"format": 2, "id": "bad"}',
    "of 1 MB": b'{"format": 1, "id": "' + b"x" * 1_000_000 + b'"}',
    "of another": b'{"format":1,"id":"other","name":"other","rev":1,"tx":"x","epoch":1,"type":"t",'
    b'"state":"pending","created_at":"x","incarnation":"i","hostname":"h","worker":"w","ttl":1,"interval":1}',
    "no JSON": b"\x00\xff",
}


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("folder", ["tasks/", "done/", "workers/", "locks/", "incarnations/"])
def test_a_record_that_cannot_be_read_is_left_out_and_reported(
    place: Place, folder: str, data: bytes
) -> None:
    place.submit("good")
    plant(place, f"{folder}bad", data)
    listed = place.run("tasks", "list", "-o", "json")
    assert [row["id"] for row in listed.json] == ["good"]
    assert "doctor" in listed.said
    doctor = place.run("doctor", "-o", "json")
    assert doctor.status == 1
    (failed,) = [check for check in doctor.json if check["level"] == "fail"]
    assert f"{folder}bad" in failed["message"]
    assert failed["fix"]


@pytest.mark.parametrize(
    ("folder", "args"),
    [
        ("tasks/", ["tasks", "show", "bad"]),
        ("tasks/", ["tasks", "why", "bad"]),
        ("tasks/", ["tasks", "logs", "bad"]),
        ("tasks/", ["tasks", "cancel", "bad"]),
        ("done/", ["tasks", "retry", "bad"]),
        ("done/", ["tasks", "wait", "bad"]),
        ("tasks/", ["tasks", "submit", "shell", "--id", "bad", "--", "true"]),
        ("tasks/", ["tasks", "submit", "shell", "--after", "bad", "--", "true"]),
        ("locks/", ["locks", "show", "bad"]),
        ("locks/", ["locks", "acquire", "bad"]),
        ("locks/", ["locks", "renew", "bad", "--epoch", "1"]),
        ("locks/", ["locks", "release", "bad", "--force"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_whoever_asks_for_such_a_record_is_told_why_not(place: Place, folder: str, args: list[str]) -> None:
    plant(place, f"{folder}bad", b'{"format": 2}')
    ran = place.run(*args)
    assert (ran.status, ran.stdout) == (5, "")
    assert "newer than 1" in ran.said
    assert "doctor" in ran.said


def test_a_worker_whose_record_cannot_be_read_is_a_row_with_error(place: Place) -> None:
    plant(place, "workers/bad", b"{")
    (row,) = place.run("workers", "list", "-o", "json").json
    assert (row["id"], row["status"]) == ("bad", "error")
    assert place.run("healthcheck", "--worker", "bad").status == 1


def test_a_task_dated_2099_is_shown_like_any_other(place: Place) -> None:
    place.submit("good")
    record: dict[str, Any] = json.loads(place.run("tasks", "show", "good", "-o", "json").stdout)
    future = {
        **{name: record[name] for name in ("type", "state", "epoch")},
        "format": 1,
        "id": "future",
        "rev": 1,
        "tx": "x",
        "created_at": "2099-01-01T00:00:00Z",
    }
    plant(place, layout.task_key("future"), json.dumps(future).encode())
    assert [row["id"] for row in place.run("tasks", "list", "-o", "json").json] == ["good", "future"]


def test_what_stands_in_a_record_cannot_move_the_cursor(place: Place) -> None:
    evil = {"format": 1, "id": "evil", "type": "t", "state": "failed", "epoch": 0, "rev": 1, "tx": "x"}
    evil |= {"created_at": "x", "reason": "\x1b[2Jgone\r\nsentinel: all is well\u202e"}
    plant(place, "done/evil", json.dumps(evil).encode())
    for args in (["tasks", "list", "-o", "wide"], ["tasks", "show", "evil"], ["tasks", "why", "evil"]):
        shown = place.run(*args).stdout
        assert "gone" in shown
        assert not {"\x1b", "\r", "\u202e"} & set(shown)
    waited = place.run("tasks", "wait", "evil")
    assert (waited.status, "\x1b" in waited.stderr) == (1, False)


# --- B12 ----------------------------------------------------------------------------------------------


def empty_folder(place: Place) -> Path:
    (place.folder / "empty").mkdir()
    return place.folder / "empty"


def a_file(place: Place) -> Path:
    (place.folder / "file").write_text("x")
    return place.folder / "file"


def a_bare_repository(place: Place) -> Path:
    pygit2.init_repository(str(place.folder / "bare.git"), bare=True)
    return place.folder / "bare.git"


def a_working_tree(place: Place) -> Path:
    pygit2.init_repository(str(place.folder / "tree"))
    return place.folder / "tree"


def nowhere(place: Place) -> Path:
    return place.folder / "no" / "where.git"


def a_store_that_lost_its_branch(place: Place) -> Path:
    argv = ["git", "-C", str(place.store), "update-ref", "-d", "refs/heads/sentinel/state"]
    subprocess.run(argv, check=True)
    return place.store


def a_damaged_store(place: Place) -> Path:
    shutil.rmtree(place.store / "objects")
    (place.store / "objects").mkdir()
    return place.store


@pytest.mark.parametrize(
    "kind",
    [
        empty_folder,
        a_file,
        a_bare_repository,
        a_working_tree,
        nowhere,
        a_store_that_lost_its_branch,
        a_damaged_store,
    ],
)
def test_a_place_that_is_no_store_is_refused_with_the_remedy(place: Place, kind: Any) -> None:
    bad = kind(place)
    for args in (["tasks", "list"], ["tasks", "submit", "shell", "--", "true"], ["locks", "acquire", "x"]):
        ran = place.run("--store", str(bad), *args)
        assert (ran.status, ran.stdout) == (5, ""), ran
        assert str(bad) in ran.said
    doctor = place.run("doctor", "--store", str(bad))
    assert doctor.status == 5
    assert "fix: " in doctor.stdout


@pytest.mark.parametrize(
    ("url", "status", "word"),
    [
        ("foo://host/path", 78, "file://"),
        ("http//typo", 5, "sentinel init"),
        ("file://elsewhere/srv/fleet.git", 78, "file:///"),
        ("memory:", 2, "memory:"),
        ("https://user:secret@host/x", 78, "password"),
    ],
)
def test_a_wrong_store_url_is_refused_naming_it(place: Place, url: str, status: int, word: str) -> None:
    ran = place.run("tasks", "list", "--store", url)
    assert (ran.status, ran.stdout) == (status, "")
    assert word in ran.said
    assert "secret" not in ran.said


def test_a_wrong_store_in_the_environment_names_the_variable(place: Place) -> None:
    ran = place.run("tasks", "list", SENTINEL_STORE="foo://host/path")
    assert ran.status == 78
    assert "SENTINEL_STORE" in ran.said


def test_without_any_store_all_ways_to_name_one_are_named(place: Place) -> None:
    ran = place.run("tasks", "list", SENTINEL_STORE=None)
    assert ran.status == 78
    assert all(word in ran.said for word in ("--store", "SENTINEL_STORE", "sentinel init"))


def test_every_problem_of_the_configuration_is_a_line_of_its_own(place: Place) -> None:
    (place.folder / "config").mkdir()
    (place.folder / "config" / "shared.json").write_text('{"stor": "x", "retention": {"days": 0}}')
    ran = place.run("tasks", "list")
    assert (ran.status, ran.stdout) == (78, "")
    assert len(ran.stderr.splitlines()) == 2
    assert all(line.startswith("sentinel: config/shared.json") for line in ran.stderr.splitlines())


def test_a_configuration_file_that_was_named_and_is_missing_is_an_error(run: Run) -> None:
    ran = run("--config", "nowhere.json", "tasks", "list")
    assert (ran.status, "nowhere.json" in ran.said) == (78, True)


@pytest.fixture
def without_git(place: Place) -> str:
    (place.folder / "bin").mkdir()
    return str(place.folder / "bin")


def test_doctor_misses_git_and_a_local_store_works_without_it(place: Place, without_git: str) -> None:
    doctor = place.run("doctor", PATH=without_git)
    assert doctor.status == 78
    assert "there is no git here" in doctor.stdout
    assert place.run("tasks", "list", PATH=without_git).status == 0


@pytest.mark.parametrize("script", ["echo git version 1.8.3.1", "exit 1", "echo hello", "kill $$"])
def test_doctor_refuses_a_git_that_is_too_old_or_does_not_work(
    place: Place, without_git: str, script: str
) -> None:
    program = Path(without_git) / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    doctor = place.run("doctor", "-o", "json", PATH=without_git)
    assert doctor.status == 78
    (failed,) = [check for check in doctor.json if check["level"] == "fail"]
    assert "install git" in failed["fix"]


def test_doctor_names_a_state_folder_that_cannot_be_written(place: Place) -> None:
    (place.folder / "file").write_text("in the way")
    doctor = place.run("doctor", SENTINEL_STATE_FOLDER=str(place.folder / "file" / "state"))
    assert doctor.status == 1
    assert str(place.folder / "file" / "state") in doctor.stdout
    assert "SENTINEL_STATE_FOLDER" in doctor.stdout


def test_doctor_finds_a_sound_place_sound(place: Place) -> None:
    doctor = place.run("doctor")
    assert doctor.status == 0
    assert "FAIL" not in doctor.stdout
    assert "silent" in doctor.stdout or "silence" in doctor.stdout


def test_doctor_prints_the_bound_for_the_intervals_in_force(place: Place) -> None:
    checks = place.run(
        "doctor", "-o", "json", SENTINEL_HEARTBEAT_INTERVAL="1", SENTINEL_HEARTBEAT_STALE_THRESHOLD="5"
    ).json
    (failover,) = [check for check in checks if check["check"] == "failover"]
    assert "every 1 s" in failover["message"]
    assert "within 8." in failover["message"]
