"""The multi-worker guide, started as it stands: its three strategies, its files, its commands.

The guide names task types and shows no code for them; where a test needs some, a module gives it, and nothing
in the files or variables of the guide changes for that.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sentinel.client import Client
from sentinel.fleet.submission import Submission
from sentinel.model.task import Task
from tests import guide
from tests.process.fleet import Fleet, until

JOBS = """
import sentinel

for name in ("build", "compile", "test", "lint", "deploy", "publish"):
    sentinel.task(name)(lambda name=name: name)
"""
#: Runs until the test says so.
HOLD = ("sh", "-c", "until [ -e let-go ]; do sleep 0.5; done")
_GUIDES = ("GITHUB_", "SUPPORTED_TASK_TYPES", "SENTINEL_LOCKING_")


class GuideFleet(Fleet):
    """Workers that know nothing but the guide's files, their variables, and where the store is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environ = {name: value for name, value in self.environ.items() if not name.startswith(_GUIDES)}
        (folder / "jobs.py").write_text(JOBS)

    def start_all(self, environs: Sequence[Mapping[str, str]], **more: str) -> None:
        """Start a worker for each environment, and wait until all have joined."""
        for environ in environs:
            name = environ["WORKER_ID"]
            with (self.logs / f"{name}.log").open("ab") as output:
                self.workers[name] = subprocess.Popen(
                    self.command("worker", "start"),
                    env={**self.environ, **environ, **more},
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
        wanted = {environ["WORKER_ID"] for environ in environs}
        with self.client() as client:
            until(
                lambda: wanted <= {row.id for row in client.workers() if row.status == "online"},
                within=60,
                what=f"{', '.join(sorted(wanted))} to beat",
            )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[GuideFleet]:
    fleet = GuideFleet(tmp_path)
    yield fleet
    fleet.stop_all()


@pytest.fixture
def client(fleet: GuideFleet) -> Iterator[Client]:
    with fleet.client() as client:
        yield client


def submit(client: Client, ids: Sequence[str], type: str = "shell", **fields: Any) -> None:
    client.submit_many([Submission(type=type, id=name, allow_unknown_type=True, **fields) for name in ids])


def owners(tasks: Sequence[Task]) -> Counter[str | None]:
    return Counter(task.owner for task in tasks)


def test_homogeneous_workers_share_the_tasks_and_take_over_from_one_that_is_killed(
    fleet: GuideFleet, client: Client
) -> None:
    guide.write_files(fleet.folder)
    # The guide has a file for two of the three, which names types: here all three are alike.
    for worker in guide.WORKERS:
        (fleet.folder / "config" / f"{worker}.json").unlink()
    fleet.start_all(guide.HOMOGENEOUS)
    assert [(row.id, row.hostname, row.max_tasks) for row in client.workers()] == [
        (environ["WORKER_ID"], environ["WORKER_HOSTNAME"], 10) for environ in guide.HOMOGENEOUS
    ]

    # One more than two of them have slots for, so that each has a share whatever the processors are at.
    names = [f"t{number}" for number in range(21)]
    submit(client, names, positional=HOLD)
    until(lambda: {client.get(name).state for name in names} == {"running"}, within=90, what="all running")
    assert set(owners([client.get(name) for name in names])) == {"worker-001", "worker-002", "worker-003"}
    lost = [name for name in names if client.get(name).owner == "worker-003"]

    fleet.kill("worker-003")
    (fleet.folder / "let-go").touch()
    done = {task.id: task for task in client.wait(names, timeout=90)}
    assert {task.state for task in done.values()} == {"done"}
    assert "worker-003" not in owners([done[name] for name in lost])
    assert {event.event for event in done[lost[0]].history} >= {"lost", "finished"}


def test_heterogeneous_workers_take_the_tasks_of_their_types(fleet: GuideFleet, client: Client) -> None:
    guide.write_files(fleet.folder)
    fleet.start_all(guide.HETEROGENEOUS, SENTINEL_TASKS_MODULES="jobs")
    theirs = {environ["WORKER_ID"]: environ["SUPPORTED_TASK_TYPES"] for environ in guide.HETEROGENEOUS}
    for types in theirs.values():
        for name in types.split(","):
            assert fleet.run("tasks", "submit", name, "--id", f"one-{name}").returncode == 0
    done = client.wait([f"one-{name}" for types in theirs.values() for name in types.split(",")], timeout=60)
    assert {task.state for task in done} == {"done"}
    assert {
        worker: ",".join(sorted(task.type for task in done if task.owner == worker)) for worker in theirs
    } == {worker: ",".join(sorted(types.split(","))) for worker, types in theirs.items()}


def test_a_heterogeneous_worker_without_code_starts_says_so_and_takes_nothing(
    fleet: GuideFleet, client: Client
) -> None:
    guide.write_files(fleet.folder)
    fleet.start_all(guide.HETEROGENEOUS)
    log = fleet.log("build-worker-001")
    assert [
        log.count(f"names the task type {name}, for which there is no code") for name in ("build", "compile")
    ] == [1, 1]

    refused = fleet.run("tasks", "submit", "build")
    assert (refused.returncode, "worker build-worker-001 is to take 'build'" in refused.stderr) == (2, True)
    submit(client, ["b"], "build")
    submit(client, ["s"], positional=("true",))
    why = client.why("b")
    assert why.code == "no_capable_worker"
    assert "build-worker-001 is to take it but has no code for it" in why.text
    assert [(one.worker, one.ground) for one in why.workers] == [
        ("build-worker-001", "type"),
        ("deploy-worker-001", "type"),
        ("test-worker-001", "type"),
    ]

    # A fourth one that has the code: the others saw the same tasks, and left them to it.
    helper = {"WORKER_ID": "helper", "SENTINEL_TASKS_MODULES": "jobs"}
    fleet.start_all([helper])
    assert owners(client.wait(["b", "s"], timeout=60)) == {"helper": 2}


def test_geographic_workers_take_what_is_meant_for_their_region(fleet: GuideFleet, client: Client) -> None:
    guide.write_files(fleet.folder)
    fleet.start_all(guide.GEOGRAPHIC)
    regions = {environ["WORKER_REGION"]: environ["WORKER_ID"] for environ in guide.GEOGRAPHIC}
    for region in regions:
        submit(
            client, [f"{region}-{n}" for n in (1, 2, 3)], positional=("true",), affinity={"region": region}
        )
    submit(client, ["anywhere"], positional=("true",))
    submit(client, ["nowhere"], positional=("true",), affinity={"region": "sa-east-1"})
    for region, worker in regions.items():
        assert owners(client.wait([f"{region}-{n}" for n in (1, 2, 3)], timeout=60)) == {worker: 3}
    assert client.wait(["anywhere"], timeout=60)[0].state == "done"
    assert client.why("nowhere").code == "no_worker_in_region"
    listed = fleet.run("workers", "list", "--region", "eu-west-1", "-o", "json")
    assert [row["id"] for row in json.loads(listed.stdout)] == ["eu-west-worker-001"]


def test_a_dry_start_of_a_worker_that_runs_already_is_refused_as_the_start_is(fleet: GuideFleet) -> None:
    short = {"SENTINEL_HEARTBEAT_INTERVAL": "1", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "5"}
    fleet.start_all([guide.HOMOGENEOUS[0]], **short)
    refused = fleet.run("worker", "start", "--id", "worker-001", "--dry-run", environ=short)
    assert (refused.returncode, "running on server-1.example.com" in refused.stderr) == (4, True)


def test_the_worker_files_of_the_guide_make_the_workers_that_it_describes(
    fleet: GuideFleet, client: Client
) -> None:
    guide.write_files(fleet.folder)
    fleet.start_all([{"WORKER_ID": name} for name in guide.WORKERS], SENTINEL_TASKS_MODULES="jobs")
    found = {row.id: row.document() for row in client.workers()}
    for name, content in guide.WORKERS.items():
        capacity, metadata = content["capacity"], content["metadata"]
        assert {key: found[name][key] for key in ("hostname", "region", "environment")} == {
            "hostname": content["hostname"],
            **metadata,
        }
        assert (found[name]["max_tasks"], found[name]["cpu_cores"], found[name]["memory_mb"]) == (
            capacity["maxConcurrentTasks"],
            capacity["cpuCores"],
            capacity["memoryMb"],
        )
        assert found[name]["types"] == sorted(capacity["supportedTaskTypes"])


@pytest.mark.parametrize("strategy", guide.BALANCERS)
def test_each_strategy_of_the_guide_is_one_that_workers_go_by(
    fleet: GuideFleet, client: Client, strategy: str
) -> None:
    guide.write_files(fleet.folder, guide.with_balancer(strategy))
    fleet.start_all([{"WORKER_ID": name} for name in guide.WORKERS], SENTINEL_TASKS_MODULES="jobs")
    for project in ("red", "green", "blue"):
        submit(client, [f"{project}-{n}" for n in range(3)], "build", affinity={"project_id": project})
    tasks = {
        project: client.wait([f"{project}-{n}" for n in range(3)], timeout=60)
        for project in ("red", "green", "blue")
    }
    assert {task.state for found in tasks.values() for task in found} == {"done"}
    # Labelled tasks stay together whatever the strategy, because the guide leaves affinity on.
    assert {project: len(owners(found)) for project, found in tasks.items()} == {
        "red": 1,
        "green": 1,
        "blue": 1,
    }


def test_the_troubleshooting_commands_of_the_guide_tell_what_they_are_for(
    fleet: GuideFleet, client: Client
) -> None:
    guide.write_files(fleet.folder)
    fleet.start_all([{"WORKER_ID": name} for name in guide.WORKERS], SENTINEL_TASKS_MODULES="jobs")
    assert fleet.run("locks", "acquire", "deploy").returncode == 0
    assert fleet.run("locks", "acquire", "deploy", "--wait", "0").returncode == 4
    said = {tuple(args): fleet.run(*args) for args in guide.TROUBLESHOOTING if args[0] != "github"}
    assert {args: ran.returncode for args, ran in said.items()} == dict.fromkeys(said, 0)
    by = {args[1]: ran.stdout for args, ran in said.items()}
    assert "worker-001" in by["list"]
    assert "worker-002" in by["list"]
    (stats,) = [line.split() for line in by["stats"].splitlines() if line.startswith("deploy")]
    assert "1" in stats
    assert "deploy" in by["distribution"]
    assert "worker-002" in by["load-distribution"]
    assert "20 of 20 slots free on 2 workers" in by["capacity"]


def test_the_connection_to_github_is_tried_only_where_the_store_is_there(fleet: GuideFleet) -> None:
    guide.write_files(fleet.folder)
    ran = fleet.run("github", "test-connection")
    assert (ran.returncode, "is not on GitHub" in ran.stderr) == (2, True)
