"""The whole way: three real workers on ``github://acme/fleet``, people who open issues, one worker killed.

The API is the emulator behind the proxy, git is `git http-backend` beside it. Everything happens once, in
`journey`; each test looks at one thing that came of it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.model import layout
from sentinel.store.tree import path_of
from sentinel.testing.checker import Violation
from sentinel.testing.checking.outbox import one_comment_each
from tests.github.contract import Contract
from tests.github.emulator import OWNER, REPO, Emulator, token
from tests.github.people import People, block
from tests.github.proxy import Proxy
from tests.process.fleet import Fleet, until
from tests.process.history import History, problems
from tests.remote import servers
from tests.remote.bench import make_repository

#: Everything ends long before, in seconds.
PATIENCE = 90.0
SECRET = "ghp_thisisasecretthatataskprints0123456789"

JOBS = f"""
import os, time
import sentinel

@sentinel.task("word-count", timeout=60)
def word_count(path: str) -> dict[str, int]:
    print("counting {SECRET}")
    with open(path) as file:
        return {{"words": len(file.read().split())}}

@sentinel.task("hold", timeout=120)
def hold(name: str) -> str:
    sentinel.current_task().progress("waiting to be let go")
    while not os.path.exists(f"let-go-{{name}}"):
        time.sleep(0.1)
    return name
"""


class HubFleet(Fleet):
    """Workers of a repository on the emulated GitHub, each as if on a machine of its own."""

    def __init__(self, folder: Path, repository: Path, *, api: str, server: str) -> None:
        self.folder = folder
        self.repository = repository
        theirs = ("SENTINEL_", "WORKER_", "GITHUB_")
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(theirs)},
            "SENTINEL_STORE": f"github://{OWNER}/{REPO}",
            "SENTINEL_STATE_FOLDER": str(folder / "state"),
            "SENTINEL_HEARTBEAT_INTERVAL": "3",
            "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "15",
            "SENTINEL_GITHUB_ISSUES_POLL": "0.5",
            # This server is ours, and the journey is short.
            "SENTINEL_GITHUB_PUSHES_PER_MINUTE": "0",
            "SENTINEL_GITHUB_READS_PER_SECOND": "0",
            "SENTINEL_GITHUB_REQUESTS_PER_HOUR": "0",
            "GITHUB_API_URL": api,
            "GITHUB_SERVER_URL": server,
            "GITHUB_TOKEN": token("robot"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), str(folder)]),
        }
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.logs = folder / "worker-logs"
        self.logs.mkdir()
        (folder / "jobs.py").write_text(JOBS)
        (folder / "docs.txt").write_text("one two three")

    def start_apart(self, worker: str) -> None:
        """Start a worker with a state folder of its own."""
        environ = {"SENTINEL_STATE_FOLDER": str(self.folder / f"state-{worker}")}
        self.start(worker, "--max-tasks", "4", "--tasks", "jobs", environ=environ)

    def document(self, key: str) -> dict[str, Any] | None:
        """A document as it is on the server now."""
        found = _git(self.repository, "cat-file", "blob", f"sentinel/state:{'/'.join(path_of(key))}")
        return json.loads(found) if found else None

    def task(self, number: int) -> dict[str, Any]:
        """The record of an issue's task as stored; empty when there is none."""
        return self.document(f"tasks/issue-{number}") or self.document(f"done/issue-{number}") or {}

    def state(self, number: int) -> str:
        """The state of an issue's task; empty when there is none."""
        return str(self.task(number).get("state", ""))


@dataclasses.dataclass(frozen=True)
class Journey:
    """What is left when everything is over."""

    fleet: HubFleet
    people: People
    numbers: dict[str, int]
    repository: Path
    killed: str
    #: What stood where, while it was so.
    seen: dict[str, Any]
    contract: Contract

    def answer(self, name: str) -> str:
        """The one answer on an issue."""
        (answer,) = self.people.answers(self.numbers[name])
        return answer

    def issue(self, name: str) -> dict[str, Any]:
        """An issue at the end."""
        return self.people.issue(self.numbers[name])

    def task(self, name: str) -> dict[str, Any]:
        """A task at the end."""
        return self.fleet.task(self.numbers[name])


@pytest.fixture(scope="module")
def journey(
    running_emulator: Emulator,
    the_proxy: Proxy,
    contract: Contract,
    git_web: servers.SmartHttp,
    git_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Journey]:
    """All of it, once."""
    running_emulator.reset()
    the_proxy.reset()
    the_proxy.watchers.append(contract.watch)
    repository = git_root / OWNER / f"{REPO}.git"
    repository.parent.mkdir(exist_ok=True)
    make_repository(repository)
    git_web.password = token("robot")
    fleet = HubFleet(
        tmp_path_factory.mktemp("journey"),
        repository,
        api=the_proxy.url,
        server=f"http://127.0.0.1:{git_web.port}",
    )
    try:
        yield _travel(fleet, People(running_emulator), repository, contract)
    finally:
        fleet.stop_all()
        shutil.rmtree(repository, ignore_errors=True)
        the_proxy.reset()
        contract.violations.clear()


def _travel(fleet: HubFleet, people: People, repository: Path, contract: Contract) -> Journey:
    made = fleet.run("init")
    assert made.returncode == 0, made.stderr
    for worker in ("w1", "w2", "w3"):
        fleet.start_apart(worker)
    seen: dict[str, Any] = {}

    def wait(number: int, *states: str) -> None:
        reach(fleet, lambda: fleet.state(number) in states, f"issue {number} as {states}")

    def wait_for_label(number: int, name: str) -> None:
        reach(fleet, lambda: f"sentinel:{name}" in people.labels(number), f"issue {number} labelled {name}")

    numbers = {
        "good": people.ask("word-count", path="docs.txt"),
        "malformed": people.open("```sentinel\n{'type': 'word-count'}\n```"),
        "untrusted": people.ask("word-count", by="stranger", path="docs.txt"),
        "closed": people.ask("hold", name="closed"),
        "killed": people.ask("hold", name="killed"),
        "retried": people.ask("word-count", path="later.txt"),
    }
    numbers["edited"] = people.ask(
        "word-count", by="stranger", after=(f"issue-{numbers['killed']}",), path="docs.txt"
    )

    # Approved, and edited before anybody may take it.
    wait_for_label(numbers["edited"], "needs-approval")
    shown = int(time.time())
    # In the same second it might have been written before the comment was there to be read.
    reach(fleet, lambda: int(time.time()) > shown, "the next second")
    people.say(numbers["edited"], "/approve", by="writer")
    wait(numbers["edited"], "pending")
    people.edit(numbers["edited"], body=block("word-count", path="/etc/passwd"))
    wait(numbers["edited"], "awaiting_approval")

    # Closed while it runs.
    wait(numbers["closed"], "running")
    people.edit(numbers["closed"], state="closed")
    wait(numbers["closed"], "cancelled")

    # Failed, put right, and retried.
    wait(numbers["retried"], "failed")
    wait_for_label(numbers["retried"], "failed")
    seen["failed"] = (people.issue(numbers["retried"])["state"], *people.answers(numbers["retried"]))
    (fleet.folder / "later.txt").write_text("one two")
    people.say(numbers["retried"], "/retry", by="writer")
    wait(numbers["retried"], "done")

    # The worker of what runs is killed.
    wait(numbers["killed"], "running")
    reach(
        fleet,
        lambda: any("Progress: waiting to be let go" in said for said in people.answers(numbers["killed"])),
        "progress in the comment",
    )
    owner = str(fleet.task(numbers["killed"])["owner"])
    fleet.signal(owner, signal.SIGKILL)
    fleet.workers.pop(owner).wait()
    reach(fleet, lambda: fleet.task(numbers["killed"])["epoch"] == 2, "another worker")
    (fleet.folder / "let-go-killed").touch()
    wait(numbers["killed"], "done")
    wait(numbers["good"], "done")
    for name in ("good", "killed", "retried"):
        wait_for_label(numbers[name], "done")
        number = numbers[name]
        reach(fleet, lambda number=number: people.issue(number)["state"] == "closed", f"{name} closed")  # type: ignore[misc]  # bound now
    reach(fleet, lambda: people.answers(numbers["malformed"]), "an answer")
    reach(
        fleet, lambda: "is cancelled" in people.answers(numbers["closed"])[0], "what became of the closed one"
    )
    wait_for_label(numbers["edited"], "needs-approval")
    reach(fleet, lambda: not _at_odds(fleet, people, numbers), "rest")
    return Journey(fleet, people, numbers, repository, owner, seen, contract)


def _git(repository: Path, *args: str) -> str:
    """What git says; nothing where it has nothing to say."""
    asked = subprocess.run(["git", "-C", str(repository), *args], capture_output=True, text=True, check=False)
    return asked.stdout if asked.returncode == 0 else ""


def reach(fleet: HubFleet, condition: Callable[[], object], what: str) -> None:
    """Wait for something; on failure, with what the workers said."""
    try:
        took = until(lambda: condition() or fleet.fallen(), within=PATIENCE, what=what, pause=0.2)
        print(f"{took:5.1f} s until {what}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_logs(fleet)}") from None
    assert not fleet.fallen(), what


def _at_odds(fleet: HubFleet, people: People, numbers: dict[str, int]) -> str:
    """What I12 finds to be wrong; nothing when all is said that is to be said."""
    found = [fleet.document(layout.outbox_key(number)) for number in numbers.values()]
    entries = [entry for entry in found if entry is not None]
    if len(entries) != len(numbers):
        return f"{len(entries)} entries"
    try:
        one_comment_each(0.0, entries, {number: people.comments(number) for number in numbers.values()})
    except Violation as violation:
        return str(violation)
    return ""


def _logs(fleet: HubFleet) -> str:
    return "\n".join(f"{path.stem}: {path.read_text()[-1500:]}" for path in sorted(fleet.logs.iterdir()))


def test_a_good_issue_is_run_answered_labelled_and_closed(journey: Journey) -> None:
    issue = journey.issue("good")
    assert journey.task("good")["result"] == {"words": 3}
    assert '"words": 3' in journey.answer("good")
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    assert journey.people.labels(journey.numbers["good"]) == {"sentinel", "sentinel:done"}


def test_the_answer_links_to_the_log_where_it_is_in_the_repository(journey: Journey) -> None:
    found = re.search(r"\]\((\S+)\)", journey.answer("good"))
    assert found is not None
    server, _, place = found[1].partition(f"/{OWNER}/{REPO}/blob/")
    assert server == journey.fleet.environ["GITHUB_SERVER_URL"]
    commit, _, path = place.partition("/")
    assert "counting" in _git(journey.repository, "cat-file", "blob", f"{commit}:{path}")


def test_a_malformed_issue_is_told_the_exact_problem_and_an_example(journey: Journey) -> None:
    answer = journey.answer("malformed")
    assert "at line 1 column 2" in answer
    assert '{"type": "word-count", "args": {"path": "docs"}' in answer
    assert journey.task("malformed") == {}


def test_an_untrusted_issue_waits_for_an_approval(journey: Journey) -> None:
    assert journey.task("untrusted")["state"] == "awaiting_approval"
    assert "sentinel:needs-approval" in journey.people.labels(journey.numbers["untrusted"])
    assert "/approve" in journey.answer("untrusted")


def test_b2_an_issue_that_was_edited_after_its_approval_does_not_run(journey: Journey) -> None:
    task = journey.task("edited")
    events = [event["event"] for event in task["history"]]
    assert (task["state"], task["attempt"]) == ("awaiting_approval", 0)
    assert events == ["submitted", "approval_needed", "approved", "approval_void"]


def test_an_issue_that_is_closed_while_it_runs_is_cancelled(journey: Journey) -> None:
    task = journey.task("closed")
    assert (task["state"], task["reason"]) == ("cancelled", "its issue was closed")
    assert "is cancelled" in journey.answer("closed")


def test_a_failed_issue_stayed_open_with_what_people_need(journey: Journey) -> None:
    state, answer = journey.seen["failed"]
    assert state == "open"
    assert "FileNotFoundError" in answer
    assert "`/retry`" in answer


def test_a_retried_issue_ran_again_and_is_done(journey: Journey) -> None:
    task = journey.task("retried")
    assert (task["state"], task["run"], task["result"]) == ("done", 2, {"words": 2})
    assert journey.issue("retried")["state"] == "closed"


def test_what_ran_on_the_killed_worker_ran_again_elsewhere(journey: Journey) -> None:
    task = journey.task("killed")
    assert (task["state"], task["epoch"], task["result"]) == ("done", 2, "killed")
    assert task["owner"] != journey.killed
    assert "lost" in journey.answer("killed")


def test_what_is_done_was_done_once(journey: Journey) -> None:
    versions = History(journey.repository).task_versions()
    done = {f"issue-{journey.numbers[name]}" for name in ("good", "killed", "retried")}
    assert problems({name: versions[name] for name in done}) == []


def test_i12_at_rest_there_is_one_comment_for_each_entry_of_the_outbox(journey: Journey) -> None:
    assert _at_odds(journey.fleet, journey.people, journey.numbers) == ""


def test_b11_no_token_is_in_a_comment_a_log_a_record_or_a_process(journey: Journey) -> None:
    secrets = (SECRET, token("robot"))
    texts = [text for number in journey.numbers.values() for _, text in journey.people.comments(number)]
    texts += [path.read_text() for path in journey.fleet.logs.iterdir()]
    texts += [json.dumps(versions) for versions in History(journey.repository).task_versions().values()]
    texts += [
        " ".join(process.cmdline())
        for worker in journey.fleet.workers
        for process in journey.fleet.processes_below(worker)
    ]
    assert "[redacted]" in journey.answer("good")
    assert [secret for secret in secrets if any(secret in text for text in texts)] == []


def test_what_was_sent_and_relied_on_is_as_github_describes_it(journey: Journey) -> None:
    assert journey.contract.violations == []
    assert "GET /repos/{owner}/{repo}/issues/comments" in journey.contract.seen


def test_the_audit_names_refusals_and_approvals(journey: Journey) -> None:
    audit = "\n".join(History(journey.repository).subjects())
    body = _git(journey.repository, "log", "--format=%B", "sentinel/state")
    assert re.search(r"take in issue-\d+, not approved: stranger \(\d+\) has the permission none", body)
    assert re.search(r"refuse issue-\d+: its block is no JSON", body)
    assert re.search(r"approve issue-\d+ \([0-9a-f]{12}\) by writer", body)
    assert "claim issue-1" in audit
