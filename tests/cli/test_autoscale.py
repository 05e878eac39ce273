"""``sentinel cluster autoscale``: explained, once, and with settings that do not go together."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.cli.conftest import Place, Worked


def configure(place: Place, **scaling: Any) -> None:
    file = place.folder / "config" / "shared.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"distributed": {"autoScaling": scaling}}), encoding="utf-8")


def test_a_dry_run_explains_the_decision_and_does_nothing(place: Place) -> None:
    ran = place.run("cluster", "autoscale", "--dry-run")
    assert ran.stdout.splitlines() == [
        "would start worker-001: 1 workers instead of 0",
        "  0% of the slots are in use and 0 tasks wait; more than 80% and 50 ask for more workers",
        "  0 workers are fewer than the minimum of 1",
    ]
    assert place.run("cluster", "events", "-o", "json", "--kind", "scaling").json == []


def test_one_look_runs_the_command_for_each_worker_and_is_in_the_events(place: Place) -> None:
    touch = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    configure(place, minWorkers=2, provider="command", startCommand=[sys.executable, "-c", touch, "{id}"])
    ran = place.run("cluster", "autoscale", "--once", "-o", "json")
    assert (ran.status, ran.json["start"]) == (0, ["worker-001", "worker-002"])
    assert (place.folder / "worker-001").exists()
    assert (place.folder / "worker-002").exists()
    (event,) = place.run("cluster", "events", "-o", "json", "--kind", "scaling").json
    assert event["text"].startswith("scale up from 0 to 2: start worker-001, worker-002, by ")
    assert place.run("locks", "show", "autoscaler", "-o", "json").json["state"] == "free"


def test_what_was_asked_for_once_is_not_asked_for_again(place: Place) -> None:
    configure(place, provider="command", startCommand=["true", "{id}"])
    place.run("cluster", "autoscale", "--once")
    ran = place.run("cluster", "autoscale", "--once", "-o", "json")
    assert (ran.json["action"], ran.json["size"]) == ("hold", 1)


def test_a_second_scaler_is_refused_while_one_is_at_work(place: Place) -> None:
    place.run("locks", "acquire", "autoscaler")
    ran = place.run("cluster", "autoscale", "--once")
    assert (ran.status, "lock autoscaler is held" in ran.said) == (4, True)


def test_an_idle_worker_is_drained_when_looks_agree(place: Place, worked: Worked) -> None:
    Worked(place, "w2")
    configure(place, looks=1, provider="command", startCommand=["true", "{id}"])
    ran = place.run("cluster", "autoscale", "--once", "-o", "json")
    assert (ran.json["action"], ran.json["drain"]) == ("down", ["w1"])
    with place.client() as client:
        assert client.view().workers["w1"].drain == worked.incarnation


@pytest.mark.parametrize(
    ("scaling", "named"),
    [
        ({"minWorkers": 5, "maxWorkers": 4}, "minWorkers"),
        ({"scaleDownUtilizationPercent": 80}, "scaleDownUtilizationPercent"),
        ({"namePrefix": "Worker_"}, "namePrefix"),
        ({"provider": "command"}, "start_command"),
        ({"provider": "command", "startCommand": ["ssh", "host"]}, "startCommand"),
        ({"provider": "github-actions"}, "provider"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_do_not_go_together_are_named(
    place: Place, scaling: dict[str, Any], named: str
) -> None:
    configure(place, **scaling)
    for command in (["cluster", "autoscale", "--dry-run"], ["config", "validate"]):
        ran = place.run(*command)
        assert (ran.status, named in ran.said) == (78, True), ran.said
