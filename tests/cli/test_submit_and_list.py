"""``tasks submit``, ``list`` and ``show`` on a real store: what they take, print, and exit with."""

from __future__ import annotations

import json

from sentinel.model.task import Ending
from tests.cli.conftest import Place, Run, Worked

#: As the documentation lists them.
ROW = """
id, type, args, positional, state, run, reason, priority, attempt, epoch, owner, incarnation, created_at,
started_at, finished_at, result, error, exit_code, retries_left, losses
""".replace(",", "").split()


def test_submit_prints_the_id_alone(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "--id", "a", "--", "true")
    assert (ran.status, ran.stdout, ran.stderr) == (0, "a\n", "")


def test_submit_is_idempotent_and_a_different_task_under_the_id_is_a_conflict(run: Run) -> None:
    for _ in range(2):
        assert run("tasks", "submit", "shell", "--id", "a", "--", "true").stdout == "a\n"
    ran = run("tasks", "submit", "shell", "--id", "a", "--", "false")
    assert (ran.status, ran.stdout) == (4, "")


def test_what_stands_behind_the_dashes_is_given_literally(run: Run) -> None:
    words = ["--help", "-o", "json", "$(id)", "", "ä", "--", "5"]
    ran = run("tasks", "submit", "shell", "-o", "json", "--", "printf", *words)
    assert ran.json["positional"] == ["printf", *words]


def test_arguments_of_an_unknown_type_are_guessed(run: Run) -> None:
    given = {"n": "5", "f": "1.5", "t": "true", "z": "null", "s": "text", "l": "[1]", "q": '"5"', "e": ""}
    options = [word for name, value in given.items() for word in ("--arg", f"{name}={value}")]
    ran = run("tasks", "submit", "work", "--allow-unknown-type", *options, "-o", "json")
    assert ran.json["args"] == {**given, "n": 5, "f": 1.5, "t": True, "z": None}


def test_arguments_may_come_from_a_file_and_from_standard_input(place: Place) -> None:
    (place.folder / "args.json").write_text('{"path": "docs", "deep": [1, {"x": null}]}')
    for source in ("args.json", "-"):
        data = (place.folder / "args.json").read_bytes()
        ran = place.run(
            *("tasks", "submit", "work", "--allow-unknown-type", "--args-json", source, "--arg", "n=1"),
            *("-o", "json"),
            stdin=data,
        )
        assert ran.json["args"] == {"path": "docs", "deep": [1, {"x": None}], "n": 1}


def test_an_argument_that_stands_in_both_is_refused(place: Place) -> None:
    (place.folder / "args.json").write_text('{"n": 2}')
    ran = place.run("tasks", "submit", "shell", "--args-json", "args.json", "--arg", "n=1")
    assert (ran.status, "'n'" in ran.said) == (2, True)


def test_a_submission_takes_all_its_options(run: Run) -> None:
    run("tasks", "submit", "shell", "--id", "first", "--", "true")
    ran = run(
        *(
            "tasks",
            "submit",
            "shell",
            "--id",
            "a",
            "--priority",
            "high",
            "--timeout",
            "1.5",
            "--retries",
            "3",
        ),
        *("--after", "first", "--affinity", "zone=eu", "-o", "json", "--", "true"),
    )
    wanted = {
        "priority": "high",
        "timeout": 1.5,
        "retries": 3,
        "after": ["first"],
        "affinity": {"zone": "eu"},
    }
    assert {name: ran.json[name] for name in wanted} == wanted
    assert ran.json["state"] == "blocked"


def test_defaults_of_tasks_come_from_the_settings(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "-o", "json", "--", "true", TASK_TIMEOUT="42")
    assert ran.json["timeout"] == 42


def test_shell_is_unknown_where_it_is_turned_off(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "--", "true", SENTINEL_TASKS_SHELL="0")
    assert (ran.status, "'shell'" in ran.said) == (2, True)


def test_list_and_show_have_the_documented_fields(place: Place, worked: Worked) -> None:
    place.submit("a", "b")
    worked.claim("a")
    worked.end("a", Ending(cause=None, result={"n": 1}, exit_code=0))
    rows = place.run("tasks", "list", "-o", "json").json
    assert [row["id"] for row in rows] == ["a", "b"]
    assert all([name for name in ROW if name not in row] == [] for row in rows)
    shown = place.run("tasks", "show", "a", "-o", "json").json
    history = shown.pop("history")
    assert shown == rows[0]
    assert [event["event"] for event in history] == ["submitted", "claimed", "finished"]
    assert (shown["state"], shown["result"], shown["owner"], shown["exit_code"]) == (
        "done",
        {"n": 1},
        "w1",
        0,
    )


def test_a_large_result_is_shown_from_its_blob(place: Place, worked: Worked) -> None:
    place.submit("a")
    with place.client() as client:
        (blob,) = client.store.keep([json.dumps("x" * 100_000).encode()])
    worked.claim("a")
    worked.end("a", Ending(cause=None, result_blob=blob))
    assert len(place.run("tasks", "show", "a", "-o", "json").json["result"]) == 100_000
    assert len(place.run("tasks", "list", "-o", "json").json[0]["result"]) == 100_000


def test_an_empty_list_is_an_empty_json_list(run: Run) -> None:
    for noun in ("tasks", "workers", "locks"):
        assert run(noun, "list", "-o", "json").json == []


def test_lists_can_be_narrowed(place: Place, worked: Worked) -> None:
    place.submit("a", "b")
    worked.claim("a")
    assert [
        row["id"] for row in place.run("tasks", "list", "--state", "pending,done", "-o", "json").json
    ] == ["b"]
    assert [row["id"] for row in place.run("tasks", "list", "--worker", "w1", "-o", "json").json] == ["a"]
    assert place.run("tasks", "list", "--type", "other", "-o", "json").json == []


def test_tables_are_plain_and_whole_in_a_pipe(place: Place) -> None:
    place.submit("a" * 128)
    shown = place.run("tasks", "list").stdout.splitlines()
    assert shown[0].split()[:3] == ["ID", "TYPE", "STATE"]
    assert shown[1].split()[:3] == ["a" * 128, "shell", "pending"]
    assert "REASON" in place.run("tasks", "list", "-o", "wide").stdout
