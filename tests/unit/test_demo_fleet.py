"""What the demo's peers inherit from whoever starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentinel.demo.fleet import peer_environment

STATE = Path("/demo/state/demo-1")


@pytest.mark.parametrize(
    "name",
    [
        "SENTINEL_STORE",
        "SENTINEL_CONFIG",
        "SENTINEL_TASKS_MODULES",
        "SENTINEL_LOCKING_TTL",
        "WORKER_ID",
        "WORKER_MAX_TASKS",
        "MAX_WORKERS",
        "SUPPORTED_TASK_TYPES",
        "GITHUB_TOKEN",
        "GITHUB_OWNER",
    ],
)
def test_settings_of_this_machine_do_not_reach_the_peers(name: str) -> None:
    assert name not in peer_environment({name: "value"}, STATE)


@pytest.mark.parametrize(
    "name",
    [
        "SENTINEL_HEARTBEAT_INTERVAL",
        "SENTINEL_HEARTBEAT_STALE_THRESHOLD",
        "SENTINEL_FAILOVER_LOCAL_PROOF",
        "PATH",
        "LANG",
        "HTTPS_PROXY",
    ],
)
def test_what_one_may_want_to_vary_and_what_is_no_setting_reaches_them(name: str) -> None:
    assert peer_environment({name: "value"}, STATE)[name] == "value"


def test_private_files_of_a_peer_stay_in_the_folder_of_the_demo() -> None:
    environ = peer_environment({"SENTINEL_STATE_FOLDER": "/elsewhere"}, STATE)
    assert environ["SENTINEL_STATE_FOLDER"] == str(STATE)


def test_a_peer_of_a_checkout_finds_the_package_after_what_the_caller_has() -> None:
    root = str(Path(__file__).parents[2])
    assert peer_environment({"PYTHONPATH": "/mine"}, STATE)["PYTHONPATH"] == f"/mine:{root}"


def test_a_peer_of_an_installed_package_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.__file__", "/venv/lib/python3.11/site-packages/sentinel/__init__.py")
    assert "PYTHONPATH" not in peer_environment({}, STATE)
