"""``doctor --fix`` puts right what nobody wants as it is, and ``doctor --bundle`` tells no secret (B11)."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sentinel.model.task import Ending
from tests.cli.conftest import Place, Run, Worked

#: Each known in another way: by its shape, by the name of its variable here, in `.env`, or by its file.
SHAPED = "ghp_" + "aCanaryThatNobodyMaySee0123456789"
NAMED, IN_DOTENV, IN_A_FILE = "canary-of-a-variable", "canary-of-a-dotenv", "canary-of-a-token-file"
GIVEN = "canary-in-an-argument"
CANARIES = [SHAPED, NAMED, IN_DOTENV, IN_A_FILE, GIVEN]


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def checks(place: Place, *args: str, **environ: Any) -> dict[str, dict[str, Any]]:
    """What is not as it should be, or was put right, by the name of its check."""
    found = place.run("doctor", "-o", "json", *args, **environ).json
    return {one["check"]: one for one in found if one["level"] != "ok" or "fixed: " in one["message"]}


def git_setting(place: Place, *args: str) -> str:
    argv = ["git", "-C", str(place.store), "config", *args]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def open_state_folder(place: Place) -> dict[str, str]:
    place.state.mkdir(exist_ok=True)
    place.state.chmod(0o777)
    return {}


def readable_dotenv(place: Place) -> dict[str, str]:
    (place.folder / ".env").write_text("GITHUB_TOKEN=x\n")
    (place.folder / ".env").chmod(0o644)
    return {}


def readable_token_file(place: Place) -> dict[str, str]:
    (place.folder / "token").write_text("x")
    (place.folder / "token").chmod(0o640)
    return {"SENTINEL_TOKEN_FILE": str(place.folder / "token")}


def changed_store(place: Place) -> dict[str, str]:
    git_setting(place, "gc.auto", "6700")
    return {}


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (open_state_folder, "state folder"),
        (readable_dotenv, "secrets"),
        (readable_token_file, "secrets"),
        (changed_store, "store"),
    ],
)
def test_what_can_be_put_right_is_a_warning_then_fixed_then_gone(
    place: Place, spoil: Any, check: str
) -> None:
    environ = spoil(place)
    told = checks(place, **environ)[check]
    assert (told["level"], "`sentinel doctor --fix` does" in told["fix"]) == ("warn", True)
    assert checks(place, **environ)[check] == told
    fixed = checks(place, "--fix", **environ)[check]
    assert (fixed["level"], fixed["message"].startswith("fixed: ")) == ("ok", True)
    assert check not in checks(place, **environ)


def test_the_permissions_after_a_fix_are_those_of_the_owner_alone(place: Place) -> None:
    open_state_folder(place)
    readable_dotenv(place)
    place.run("doctor", "--fix")
    assert (mode(place.state), mode(place.folder / ".env")) == (0o755, 0o600)


def test_a_fix_sets_the_store_up_again(place: Place) -> None:
    changed_store(place)
    place.run("doctor", "--fix")
    assert git_setting(place, "gc.auto") == "0"


def test_a_store_that_is_not_there_is_not_made_by_a_fix(place: Place, run: Run) -> None:
    nowhere = place.folder / "nowhere.git"
    assert run("doctor", "--fix", "--store", str(nowhere)).status == 5
    assert not nowhere.exists()


def unpacked(bundle: Path) -> dict[str, str]:
    with tarfile.open(bundle) as archive:
        return {
            member.name.removeprefix("sentinel-bundle/"): (archive.extractfile(member) or io.BytesIO())
            .read()
            .decode()
            for member in archive.getmembers()
        }


@pytest.fixture
def bundle(place: Place, worked: Worked) -> dict[str, str]:
    """The files of a bundle that was made where there are canaries everywhere."""
    (place.folder / ".env").write_text(f"SHOP_PASSWORD={IN_DOTENV}\nUNRELATED=1\n")
    (place.folder / "token").write_text(f"{IN_A_FILE}\n")
    (place.folder / "config").mkdir()
    command = {"argv": ["curl", "-H", "X-Key: ${SHOP_TOKEN}"]}
    (place.folder / "config" / "shared.json").write_text(
        json.dumps({"tasks": {"commands": {"call": command}}})
    )
    place.submit("failed", "waits", argv=["curl", GIVEN, SHAPED])
    worked.claim("failed")
    worked.end("failed", Ending(cause="error", message=f"401 for {SHAPED} {NAMED} {IN_DOTENV} {IN_A_FILE}"))
    place.run("tasks", "cancel", "waits", "--reason", f"leaked {SHAPED} {NAMED}")
    place.run("memory", "set", "token", SHAPED)
    place.state.mkdir(exist_ok=True)
    (place.state / "crash-1.txt").write_text(f"ValueError: {NAMED} {SHAPED} {IN_A_FILE}\n")
    ran = place.run(
        *("doctor", "--bundle", "problem.tar.gz"),
        SHOP_TOKEN=NAMED,
        SENTINEL_TOKEN_FILE=str(place.folder / "token"),
    )
    assert (ran.status, "wrote problem.tar.gz" in ran.stderr) == (0, True), ran
    assert mode(place.folder / "problem.tar.gz") == 0o600
    return unpacked(place.folder / "problem.tar.gz")


def test_no_canary_is_in_a_bundle_b11(bundle: dict[str, str]) -> None:
    assert {(name, canary) for name, text in bundle.items() for canary in CANARIES if canary in text} == set()


def test_a_bundle_has_what_helps(bundle: dict[str, str]) -> None:
    fleet = ("workers", "health", "metrics", "tasks", "locks", "events", "unreadable")
    assert set(bundle) == {
        *("README.txt", "checks.json", "versions.json", "configuration.json", "crashes/crash-1.txt"),
        *(f"fleet/{name}.json" for name in fleet),
    }
    assert "ValueError: [redacted]" in bundle["crashes/crash-1.txt"]
    tasks = {task["id"]: task for task in json.loads(bundle["fleet/tasks.json"])}
    assert tasks["failed"]["error"]["message"].startswith("401 for [redacted]")
    assert not {"args", "positional", "result"} & set(tasks["failed"])
    assert [event["event"] for event in tasks["failed"]["history"]] == ["submitted", "claimed", "failed"]
    assert {"click", "pygit2"} <= json.loads(bundle["versions.json"])["packages"].keys()


def test_a_bundle_is_made_also_where_there_is_no_store(place: Place, run: Run) -> None:
    ran = run("doctor", "--bundle", "b.tar.gz", "--store", str(place.folder / "none.git"))
    assert ran.status == 5
    found = unpacked(place.folder / "b.tar.gz")
    assert "does not exist" in found["fleet/problem.txt"]
    assert any(check["level"] == "fail" for check in json.loads(found["checks.json"]))


def test_a_bundle_is_made_also_of_a_configuration_that_is_wrong(place: Place, run: Run) -> None:
    assert run("doctor", "--bundle", "b.tar.gz", WORKER_MAX_TASKS="many").status == 78
    found = json.loads(unpacked(place.folder / "b.tar.gz")["configuration.json"])
    assert "WORKER_MAX_TASKS" in found["problems"][0]


def test_a_file_that_is_there_is_not_written_over(place: Place, run: Run) -> None:
    (place.folder / "mine").write_text("mine")
    ran = run("doctor", "--bundle", "mine")
    assert (ran.status, "exists already" in ran.said) == (2, True)
    assert (place.folder / "mine").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(place: Place, run: Run) -> None:
    ran = run("doctor", "--bundle", "nowhere/b.tar.gz")
    assert (ran.status, ran.said) == (2, "nowhere/b.tar.gz cannot be written: No such file or directory")


def test_json_stays_one_document_beside_a_bundle(run: Run) -> None:
    assert isinstance(run("doctor", "--bundle", "b.tar.gz", "-o", "json").json, list)
