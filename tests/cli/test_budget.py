"""``budget`` and ``github`` without a network: what they say before anything is asked of anybody."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


def test_the_budget_of_a_fleet_needs_no_repository(run: Run) -> None:
    ran = run("budget", "--workers", "10", SENTINEL_STORE=None)
    assert ran.status == 0
    assert "pushes a minute" in ran.stdout
    assert "Each of 10 workers: a beat every 267 s" in ran.stdout


def test_a_budget_is_one_json_document(run: Run) -> None:
    told = run("budget", "--workers", "5", "--tasks-per-hour", "200", "-o", "json").json
    assert (told["kind"], told["workers"], told["tasks_per_hour"]) == ("github", 5, 200.0)
    assert told["ttl"] == pytest.approx(4 * told["interval"], abs=0.01)
    assert told["takeover_bound"] > told["ttl"]
    assert {limit["name"]: limit["allowed"] for limit in told["limits"]} == {
        "pushes a minute": 6.0,
        "git reads a second": 15.0,
        "requests an hour": 5000.0,
        "points a minute": 900.0,
        "content an hour": 500.0,
    }
    assert all(limit["share"] <= 1.0 for limit in told["limits"])


def test_the_store_decides_for_what_the_budget_is(run: Run) -> None:
    told = run("budget", "--store", "github+api://acme/fleet", "-o", "json").json
    assert told["kind"] == "github+api"
    assert told["push_every"] is None


def test_limits_of_a_server_of_ones_own_are_settings(run: Run) -> None:
    told = run("budget", "--workers", "50", "-o", "json", SENTINEL_GITHUB_PUSHES_PER_MINUTE="0").json
    assert (told["interval"], told["ttl"], told["push_every"]) == (30.0, 120.0, None)


def test_configured_times_are_never_shortened(run: Run) -> None:
    environ = {"SENTINEL_HEARTBEAT_INTERVAL": "600", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "3000"}
    told = run("budget", "--workers", "2", "-o", "json", **environ).json
    assert (told["interval"], told["ttl"]) == (600.0, 3000.0)


@pytest.mark.parametrize("command", ["test-connection", "limits"])
def test_what_is_asked_of_github_needs_a_store_there(run: Run, command: str) -> None:
    ran = run("github", command)
    assert (ran.status, "github://OWNER/REPO" in ran.said) == (2, True)


def test_a_connection_without_credentials_is_a_matter_of_configuration(run: Run) -> None:
    ran = run("github", "test-connection", "--store", "github://acme/fleet", "-o", "json")
    (check,) = ran.json
    assert (ran.status, check["check"], check["level"]) == (78, "credentials", "fail")
    assert "GITHUB_TOKEN" in check["fix"]
