"""A daemon that is stopped, killed or doubled, and what the others make of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sentinel.client import Client
from sentinel.model.lease import GRACE, LeaseTimes
from sentinel.model.task import Task
from tests.conftest import Require
from tests.process.fleet import SHORT, Fleet, alive, until
from tests.process.history import History

TIMES = LeaseTimes(1.0, 5.0)
NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.stop_all()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with fleet.client() as client:
        yield client


def submit_sleep(client: Client, task_id: str, seconds: float) -> None:
    client.submit("shell", id=task_id, positional=("sh", "-c", f"sleep {seconds}"))


def running_on(client: Client, task_id: str, worker: str) -> bool:
    task = client.get(task_id)
    return task.state == "running" and task.owner == worker


def sleeps_of(fleet: Fleet, worker: str) -> list[psutil.Process]:
    """The task's own processes, once they run: the claim is committed a moment before."""
    found: list[psutil.Process] = []

    def look() -> bool:
        found[:] = [process for process in fleet.processes_below(worker) if named(process) == "sleep"]
        return bool(found)

    until(look, within=20, what=f"a task process below {worker}")
    return found


def named(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def events(task: Task) -> list[str]:
    return [event.event for event in task.history]


def test_a_stopped_daemon_loses_its_tasks_to_another_and_rejoins_as_a_new_incarnation(
    fleet: Fleet, client: Client
) -> None:
    fleet.start("sleeper", environ=SHORT)
    submit_sleep(client, "long", 6)
    until(lambda: running_on(client, "long", "sleeper"), within=20, what="the first claim")
    tasks = sleeps_of(fleet, "sleeper")
    first = client.get("long").incarnation
    fleet.start("other", environ=SHORT)
    until(lambda: "joined as other" in fleet.log("other"), within=20, what="the second worker")

    fleet.signal("sleeper", signal.SIGSTOP)

    killed_after = until(
        lambda: not any(alive(task) for task in tasks), within=20, what="the supervisor to end the task"
    )
    assert killed_after <= TIMES.work_limit + GRACE
    until(lambda: running_on(client, "long", "other"), within=30, what="the takeover")
    before_waking = len(History(fleet.store).subjects())
    fleet.signal("sleeper", signal.SIGCONT)
    until(lambda: "sleeper is fenced" in fleet.log("sleeper"), within=20, what="the woken one to say so")
    until(lambda: fleet.log("sleeper").count("joined as sleeper") == 2, within=30, what="a new incarnation")
    (done,) = client.wait(["long"], timeout=60)

    assert done.state == "done"
    assert done.owner == "other"
    assert events(done) == ["submitted", "claimed", "lost", "claimed", "finished"]
    late = [line for line in History(fleet.store).subjects()[before_waking:] if "by sleeper" in line]
    assert [line for line in late if not line.startswith("free ")] == []
    assert str(first) not in str(History(fleet.store).live_incarnations())


def test_takeover_after_a_kill_on_one_host_needs_no_silence(fleet: Fleet, client: Client) -> None:
    """Default settings: interval 2 s, stale 10 s; only proof of death can be this quick."""
    fleet.start("victim")
    submit_sleep(client, "long", 60)
    until(lambda: running_on(client, "long", "victim"), within=20, what="the first claim")
    fleet.start("heir")
    until(lambda: "joined as heir" in fleet.log("heir"), within=20, what="the second worker")
    fleet.kill("victim")
    took = until(lambda: running_on(client, "long", "heir"), within=9.5, what="the takeover")
    print(f"takeover by proof of death after {took:.2f} s")
    assert "proven dead" in fleet.log("heir")


def test_without_local_proof_takeover_comes_after_the_silence(fleet: Fleet, client: Client) -> None:
    off = {**SHORT, "SENTINEL_FAILOVER_LOCAL_PROOF": "0"}
    fleet.start("victim", environ=off)
    submit_sleep(client, "long", 60)
    until(lambda: running_on(client, "long", "victim"), within=20, what="the first claim")
    fleet.start("heir", environ=off)
    until(lambda: "joined as heir" in fleet.log("heir"), within=20, what="the second worker")
    # A beat may have landed just before the kill, or almost an interval ago.
    fleet.kill("victim")
    took = until(lambda: running_on(client, "long", "heir"), within=60, what="the takeover")
    bound = TIMES.takeover_bound(poll=1.0, jitter=0.1, round_trip=0.1)
    print(f"takeover by silence after {took:.2f} s; the printed bound is {bound:.2f} s")
    assert took >= TIMES.stale - TIMES.interval - 1.0
    assert "silent for" in fleet.log("heir")


def test_a_worker_killed_and_restarted_under_its_id_goes_on_at_once(fleet: Fleet, client: Client) -> None:
    fleet.start("w")
    submit_sleep(client, "long", 60)
    until(lambda: running_on(client, "long", "w"), within=20, what="the first claim")
    before = client.get("long").incarnation
    fleet.kill("w")
    fleet.start("w")
    until(
        lambda: running_on(client, "long", "w") and client.get("long").incarnation != before,
        within=9.5,
        what="the successor to take over",
    )
    assert client.get("long").losses == 1


def test_the_same_id_twice_is_refused_with_the_others_host(fleet: Fleet) -> None:
    fleet.start("w", environ={**SHORT, "WORKER_HOSTNAME": "machine-one"})
    until(lambda: "joined as w" in fleet.log("w"), within=20, what="the first")
    second = fleet.run("worker", "start", "--id", "w", environ={**SHORT, "WORKER_HOSTNAME": "machine-two"})
    assert second.returncode == 4
    assert "machine-one" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_first_signal_drains_and_leaves_nothing(fleet: Fleet, client: Client) -> None:
    fleet.start("w", "--max-tasks", "1")
    submit_sleep(client, "short", 1.5)
    submit_sleep(client, "waiting", 60)
    until(lambda: running_on(client, "short", "w"), within=20, what="the claim")
    fleet.signal("w", signal.SIGTERM)
    assert fleet.workers.pop("w").wait(30) == 0
    assert client.get("short").state == "done"
    assert events(client.get("waiting")) == ["submitted"]
    assert History(fleet.store).live_incarnations() == []
    assert list((fleet.store / "sentinel" / "alive").iterdir()) == []


def test_the_second_signal_hands_everything_back_at_once(fleet: Fleet, client: Client) -> None:
    fleet.start("w")
    submit_sleep(client, "long", 60)
    until(lambda: running_on(client, "long", "w"), within=20, what="the claim")
    tree = fleet.processes_below("w")
    fleet.signal("w", signal.SIGINT)
    until(lambda: "draining" in fleet.log("w"), within=10, what="the drain")
    fleet.signal("w", signal.SIGINT)
    assert fleet.workers.pop("w").wait(30) == 0
    task = client.get("long")
    assert (task.state, task.losses, task.causes) == ("pending", 0, {"drained": 1})
    assert not any(alive(process) for process in tree)


def test_a_killed_supervisor_leaves_no_proof_and_its_daemon_goes_on_anew(
    fleet: Fleet, client: Client
) -> None:
    fleet.start("w", environ=SHORT)
    submit_sleep(client, "long", 60)
    until(lambda: running_on(client, "long", "w"), within=20, what="the claim")
    before = client.get("long").incarnation
    tasks = sleeps_of(fleet, "w")
    (supervisor,) = [p for p in fleet.processes_below("w") if p.name() == "sentinel-super"]
    supervisor.kill()
    until(lambda: not any(alive(task) for task in tasks), within=10, what="the reaper to end the task")
    until(lambda: client.get("long").incarnation not in (before, None), within=40, what="a new incarnation")
    assert client.get("long").losses == 1


def test_peers_in_two_pid_namespaces_do_not_take_each_other_for_dead(
    fleet: Fleet, client: Client, require: Require
) -> None:
    allowed = shutil.which(NAMESPACE[0]) is not None and (
        subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    )
    require("pidns", allowed, "this user may not make pid namespaces")
    fleet.start("one", prefix=NAMESPACE, environ=SHORT)
    fleet.start("two", prefix=NAMESPACE, environ=SHORT)
    for worker in ("one", "two"):
        until(lambda: f"joined as {worker}" in fleet.log(worker), within=20, what=worker)  # noqa: B023 - called at once
    for number in range(4):
        submit_sleep(client, f"t{number}", 4)
    until(lambda: {t.owner for t in client.tasks()} == {"one", "two"}, within=20, what="both to work")
    time.sleep(TIMES.stale + 2)
    done = client.wait([f"t{number}" for number in range(4)], timeout=60)
    assert [task.losses for task in done] == [0, 0, 0, 0]
    assert not [line for line in History(fleet.store).notes() if line.startswith("fail over")]
