"""``locks``, ``workers``, ``healthcheck`` and ``init`` on a real store."""

from __future__ import annotations

import subprocess
import threading

import pytest

from tests.cli.conftest import Place, Run, Worked


def test_init_makes_a_store_once(place: Place) -> None:
    new = str(place.folder / "new.git")
    assert "bare repository" in place.run("init", "--store", new).stdout
    again = place.run("init", "--store", new, "--yes")
    assert (again.status, "nothing to do" in again.stdout) == (0, True)


def test_a_dry_init_makes_nothing(place: Place) -> None:
    new = place.folder / "new.git"
    assert place.run("init", "--store", str(new), "--dry-run").status == 0
    assert not new.exists()


def test_init_on_github_needs_credentials(run: Run) -> None:
    ran = run("init", "--repo", "owner/repo")
    assert (ran.status, "GITHUB_TOKEN" in ran.said) == (78, True)


def test_workers_are_listed_and_shown(place: Place, worked: Worked) -> None:
    (row,) = place.run("workers", "list", "-o", "json").json
    assert (row["id"], row["status"], row["types"]) == ("w1", "online", ["shell"])
    assert place.run("workers", "show", "w1", "-o", "json").json == row
    assert place.run("workers", "list").stdout.splitlines()[1].split()[:3] == ["w1", "online", "0/1"]


def test_a_live_worker_is_not_removed(place: Place, worked: Worked) -> None:
    ran = place.run("workers", "remove", "w1")
    assert (ran.status, "live on h" in ran.said) == (4, True)


def test_a_worker_is_cordoned_and_uncordoned(place: Place, worked: Worked) -> None:
    assert place.run("workers", "cordon", "w1").stdout == "cordoned worker w1\n"
    assert place.run("workers", "list", "--status", "cordoned", "-o", "json").json[0]["id"] == "w1"
    assert place.run("workers", "uncordon", "w1", "-o", "json").json == {"id": "w1", "uncordoned": True}
    assert place.run("workers", "list", "--free", "-o", "json").json[0]["id"] == "w1"


def test_a_rehearsed_cordon_cordons_nobody(place: Place, worked: Worked) -> None:
    assert place.run("workers", "cordon", "w1", "--dry-run").stdout == "would cordon worker w1\n"
    assert place.run("workers", "show", "w1", "-o", "json").json["status"] == "online"


def test_a_worker_is_told_to_drain(place: Place, worked: Worked) -> None:
    found = place.run("workers", "drain", "w1", "--deadline", "10m", "-o", "json").json
    assert found == {"id": "w1", "draining": True, "gone": False}


def test_orders_for_a_worker_that_does_not_exist_are_refused(run: Run) -> None:
    assert [run("workers", verb, "w9").status for verb in ("cordon", "uncordon", "drain")] == [3, 3, 3]


def test_workers_are_filtered_by_region_and_role(place: Place) -> None:
    Worked(place, "w1", region="eu-west-1", role="build")
    Worked(place, "w2", region="us-east-1", role="build")
    found = place.run("workers", "list", "--region", "eu-west-1", "--role", "build", "-o", "json").json
    assert [row["id"] for row in found] == ["w1"]


def test_why_tells_the_ground_of_each_worker(place: Place, worked: Worked) -> None:
    place.run("workers", "cordon", "w1")
    place.run("tasks", "submit", "shell", "--id", "t", "--", "true")
    found = place.run("tasks", "why", "t", "-o", "json").json
    assert (found["code"], found["until"]) == ("cordoned", None)
    assert found["workers"] == [{"id": "w1", "ground": "cordon", "text": "it is cordoned"}]
    assert "w1: it is cordoned" in place.run("tasks", "why", "t").stdout


def test_health_is_that_of_the_named_the_configured_or_any_worker_of_the_host(place: Place) -> None:
    assert place.run("healthcheck").status == 1
    Worked(place, "w1", hostname="my-host")
    assert place.run("healthcheck", "--worker", "w1").status == 0
    assert place.run("healthcheck", WORKER_ID="w1").status == 0
    assert place.run("healthcheck", WORKER_HOSTNAME="my-host").status == 0
    assert place.run("healthcheck", WORKER_HOSTNAME="other-host").status == 1
    assert place.run("healthcheck", "--worker", "w9").status == 3


def test_a_cordoned_worker_is_in_health(place: Place, worked: Worked) -> None:
    place.run("workers", "cordon", "w1")
    assert place.run("healthcheck", "--worker", "w1").status == 0
    (check,) = [check for check in place.run("doctor", "-o", "json").json if check["check"] == "workers"]
    assert check["message"] == "1 beat: w1"


def test_the_healthcheck_does_not_say_of_a_worker_that_left_that_it_never_beat(
    place: Place, worked: Worked
) -> None:
    worked.leave()
    ran = place.run("healthcheck", "--worker", "w1")
    assert (ran.status, "w1 is offline: it left, or was failed over" in ran.said) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ["workers", "list"],
        ["workers", "capacity"],
        ["cluster", "health"],
        ["cluster", "metrics"],
        ["cluster", "top"],
    ],
    ids=" ".join,
)
def test_the_cordon_of_a_worker_that_is_away_is_seen(
    place: Place, worked: Worked, command: list[str]
) -> None:
    place.run("workers", "cordon", "w1")
    assert "offline, cordoned" not in place.run(*command).stdout
    worked.leave()
    assert "offline, cordoned" in place.run(*command).stdout


def test_a_lock_is_acquired_renewed_and_released(run: Run) -> None:
    assert run("locks", "acquire", "x").stdout == "1\n"
    held = run("locks", "acquire", "x")
    assert (held.status, held.stdout, "held by" in held.said) == (4, "", True)
    assert run("locks", "renew", "x", "--epoch", "2").status == 4
    assert run("locks", "renew", "x", "--epoch", "1", "--ttl", "60", "-o", "json").json["ttl"] == 60
    assert run("locks", "release", "x", "--epoch", "1").stdout == "released x\n"
    assert run("locks", "acquire", "x").stdout == "2\n"
    assert run("locks", "release", "x", "--force").status == 0
    assert run("locks", "show", "y").status == 3


def test_lock_rows_have_the_documented_fields(run: Run) -> None:
    acquired = run("locks", "acquire", "x", "--ttl", "60", "-o", "json").json
    assert set(acquired) == {
        *("name", "state", "kind", "holder", "epoch", "ttl"),
        *("acquired_at", "renewed_at", "worker", "incarnation"),
    }
    assert run("locks", "list", "-o", "json").json == [acquired]
    assert run("locks", "show", "x", "-o", "json").json == acquired
    assert run("locks", "list", "--worker", "w1", "-o", "json").json == []


def test_the_ttl_of_a_lock_comes_from_the_settings(run: Run) -> None:
    ran = run("locks", "acquire", "x", "-o", "json", SENTINEL_LOCKING_TTL="77")
    assert ran.json["ttl"] == 77


@pytest.mark.parametrize("command", [["acquire", "x"], ["run", "x", "--", "true"]])
def test_a_lock_that_is_held_is_tried_for_again_as_configured(
    place: Place, run: Run, command: list[str]
) -> None:
    run("locks", "acquire", "x")

    def release() -> None:
        with place.client() as client:
            client.release_lock("x", force=True)

    # It is held when the command begins; without another try the command fails.
    timer = threading.Timer(1.0, release)
    timer.start()
    retrying = {"SENTINEL_LOCKING_RETRY_ATTEMPTS": "60", "SENTINEL_LOCKING_RETRY_DELAY": "1"}
    assert run("locks", *command, **retrying).status == 0
    timer.join()


def test_eight_processes_race_for_a_lock_and_one_wins(place: Place) -> None:
    for round_number in range(1, 3):
        racers = [
            subprocess.Popen(
                place.argv("locks", "acquire", "x"),
                env=place.environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        outputs = [racer.communicate(timeout=120)[0] for racer in racers]
        assert sorted(racer.returncode for racer in racers) == [0] + [4] * 7
        assert sorted(outputs)[-1] == f"{round_number}\n"
        assert place.run("locks", "release", "x", "--epoch", str(round_number)).status == 0
