"""``sentinel config``: what is in force, where it came from, and every mistake in one go (B7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.settings import documented_keys
from tests.cli.conftest import Place, Run


def write(place: Place, name: str, content: Any) -> None:
    file = place.folder / "config" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def shown(place: Place, *args: str, **environ: str) -> dict[str, tuple[Any, str]]:
    rows = place.run("config", "show", *args, "-o", "json", stdin=None, **environ).json
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def test_show_has_every_setting_with_its_value_and_origin(place: Place) -> None:
    write(place, "shared.json", {"distributed": {"locking": {"ttlSeconds": 60}}})
    rows = shown(place, WORKER_REGION="eu-west-1")
    assert rows.keys() == {key.python for key in documented_keys()}
    assert rows["locking.ttl"] == (60.0, "config/shared.json: distributed.locking.ttlSeconds")
    assert rows["worker.region"] == ("eu-west-1", "environment WORKER_REGION")
    assert rows["log.level"] == ("info", "default")


def test_show_fills_in_what_depends_on_the_kind_of_store(place: Place) -> None:
    assert shown(place)["heartbeat.interval"] == (2.0, "default")
    assert shown(place, "--store", "git+ssh://host/fleet.git")["heartbeat.interval"] == (30.0, "default")


def test_show_can_leave_out_what_is_at_its_default(place: Place) -> None:
    assert shown(place, "--changed").keys() == {
        *("store", "state.folder", "local.fsync", "locking.retry_attempts"),
    }


def test_show_takes_the_file_of_the_worker_that_is_asked_for(place: Place) -> None:
    write(place, "w7.json", {"capacity": {"maxConcurrentTasks": 7}})
    origin = "config/w7.json: capacity.maxConcurrentTasks"
    assert shown(place, "--id", "w7")["worker.max_tasks"] == (7, origin)


@pytest.mark.parametrize("output", ["table", "wide", "json"])
@pytest.mark.parametrize("command", [["show"], ["explain", "github.token"], ["explain", "tasks.commands"]])
def test_no_secret_is_shown(place: Place, command: list[str], output: str) -> None:
    header = ["curl", "-H", "Authorization: ${API_KEY}", "https://example.com"]
    write(place, "shared.json", {"tasks": {"commands": {"call": {"argv": header}}}})
    ran = place.run("config", *command, "-o", output, GITHUB_TOKEN="ghp_s3cret", API_KEY="k3y-s3cret")
    assert (ran.status, "s3cret" in ran.stdout + ran.stderr) == (0, False)
    assert "********" in ran.stdout


def test_a_token_in_the_user_part_of_a_store_is_not_shown(place: Place) -> None:
    store = "git+https://ghp_s3cret@example.com/fleet.git"
    assert shown(place, "--store", store)["store"][0] == "git+https://********@example.com/fleet.git"


@pytest.mark.parametrize(
    "name",
    [
        "heartbeat.interval",
        "distributed.heartbeat.intervalMs",
        "SENTINEL_HEARTBEAT_INTERVAL",
        "HeartBeat.Interval",
    ],
)
def test_a_setting_is_explained_by_any_of_its_names(place: Place, name: str) -> None:
    found = place.run("config", "explain", name, "-o", "json").json
    assert (found["name"], found["value"], found["unit"]) == ("heartbeat.interval", 2.0, "seconds")
    assert (found["key"], found["file_unit"]) == ("distributed.heartbeat.intervalMs", "milliseconds")
    assert found["range"] == "from 0.1 to 3,600"
    assert found["where"] == ["shared file", ".env", "environment"]


def test_a_section_is_explained_by_all_that_is_in_it(run: Run) -> None:
    lines = run("config", "explain", "locking").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "locking.ttl",
        "locking.retry_attempts",
        "locking.retry_delay",
    ]


def test_a_setting_that_does_not_exist_is_answered_with_the_nearest(run: Run) -> None:
    ran = run("config", "explain", "heartbeat.intervall")
    assert (ran.status, ran.said) == (
        3,
        "there is no setting 'heartbeat.intervall'; the nearest is heartbeat.interval",
    )


def test_a_valid_configuration_is_named_by_its_files(place: Place) -> None:
    write(place, "shared.json", {"log": {"level": "debug"}})
    assert place.run("config", "validate").stdout == "valid: config/shared.json\n"


def test_every_problem_is_named_in_one_go_with_file_and_key(place: Place) -> None:
    tasks = {"modules": ["no_such_module"], "commands": {"odd": {"argv": ["ls", "{where}"]}}}
    balancer = {"strategy": "by-moon"}
    write(place, "shared.json", {"tasks": tasks, "loadBalancer": balancer, "log": {"level": "loud"}})
    ran = place.run("config", "validate", "--store", "ftp://host/fleet")
    places = ["log.level", "tasks.modules", "tasks.commands.odd", "loadBalancer.strategy"]
    found = [line.removeprefix("sentinel: ") for line in ran.stderr.splitlines()]
    assert ran.status == 78
    assert sorted(line.split(" ")[0] for line in found) == sorted(["config/shared.json:"] * 4 + ["flag"])
    assert all(any(f"config/shared.json: {name}" in line for line in found) for name in places)


def test_the_files_of_all_workers_can_be_checked_at_once(place: Place) -> None:
    write(place, "shared.json", {"distributed": {"locking": {"ttlSeconds": 60}}})
    write(place, "w1.json", {"workerId": "w2"})
    write(place, "w3.json", {"distributed": {"locking": {"ttlSeconds": 90}}})
    assert place.run("config", "validate").status == 0
    found = place.run("config", "validate", "--all", "-o", "json")
    assert (found.status, found.json["valid"], len(found.json["problems"])) == (78, False, 2)


def test_a_worker_does_not_start_where_the_fleet_is_turned_off(place: Place) -> None:
    write(place, "shared.json", {"distributed": {"enabled": False}})
    ran = place.run("worker", "start", "--dry-run")
    assert (ran.status, ran.said) == (
        78,
        "config/shared.json: distributed.enabled is false: this machine is to have no worker",
    )


def test_a_worker_names_problems_of_settings_and_of_tasks_together(place: Place) -> None:
    write(place, "shared.json", {"tasks": {"modules": ["no_such_module"]}, "log": {"level": "loud"}})
    ran = place.run("worker", "start", "--dry-run")
    assert (ran.status, len(ran.stderr.splitlines())) == (78, 2)
