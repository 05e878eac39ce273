"""``sentinel memory``: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel.model.layout import memory_key
from tests.cli.conftest import Place, Run
from tests.cli.test_bad_places import plant


def test_a_record_that_cannot_be_read_is_replaced_saying_so(place: Place, run: Run) -> None:
    plant(place, memory_key("default", "k"), b'{"format": 2}')
    refused = run("memory", "get", "k")
    assert (refused.status, "last_write_wins replaces this one" in refused.said) == (5, True)
    rehearsed = place.process("memory", "set", "k", "1", "--dry-run")
    assert (rehearsed.stdout, "would be written over" in rehearsed.said) == ("would set default/k\n", True)
    written = place.process("memory", "set", "k", "1")
    assert (written.status, "newer than 1" in written.said) == (0, True)
    assert run("memory", "get", "k").stdout == "1\n"
    assert run("doctor").status == 0


def test_a_value_is_set_and_read(run: Run) -> None:
    written = run("memory", "set", "greeting", '{"text": "hello"}')
    assert written.status == 0
    assert run("memory", "get", "greeting").stdout == '{"text": "hello"}\n'
    entry = run("memory", "get", "greeting", "-o", "json").json
    assert list(entry) == ["namespace", "key", "value", "version", "ttl", "written_by", "written_at"]
    assert (entry["version"], entry["ttl"]) == (written.stdout.strip(), None)


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [
        ("7", 7, "7"),
        ("true", True, "true"),
        ('"7"', "7", "7"),
        ("null", None, "null"),
        ("hello world", "hello world", "hello world"),
        ("-5", -5, "-5"),
        ("[1, 2]", [1, 2], "[1, 2]"),
        ("1e999", "1e999", "1e999"),
        ("", "", ""),
    ],
)
def test_what_reads_as_json_is_json_and_everything_else_text(
    run: Run, typed: str, stored: object, shown: str
) -> None:
    assert run("memory", "set", "k", "--", typed).status == 0
    assert run("memory", "get", "k", "-o", "json").json["value"] == stored
    assert run("memory", "get", "k").stdout == f"{shown}\n"


def test_a_text_may_look_like_json(run: Run) -> None:
    run("memory", "set", "k", "7", "--text")
    assert run("memory", "get", "k", "-o", "json").json["value"] == "7"


def test_json_with_a_slip_is_refused_and_not_stored_as_text(run: Run) -> None:
    refused = run("memory", "set", "k", '{"a": 1')
    assert (refused.status, "the value is not JSON" in refused.said) == (2, True)
    assert run("memory", "set", "k", '{"a": 1', "--text").status == 0


def test_a_value_may_come_from_standard_input(place: Place) -> None:
    assert place.run("memory", "set", "k", "-", stdin=b'{"a": 1}').status == 0
    assert place.run("memory", "get", "k", "-o", "json").json["value"] == {"a": 1}
    assert place.run("memory", "set", "k", "-", stdin=b"\xff").status == 2


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["set", "", "1"], "1 to 256 letters"),
        (["set", "__proto__", "1"], "beginning with a letter or digit"),
        (["get", "k" * 10_240], "of 10240 characters"),
        (["set", "k", "x" * 65_536], "more than the limit of 65536"),
        (["set", "k", "1", "--ttl", "0"], "1 to 604,800 seconds"),
        (["set", "k", "1", "--ttl", "soon"], "1 to 604,800 seconds"),
        (["set", "k", "1", "--namespace", "No"], "memory namespace 'No' is not valid"),
        (["set", "k", "1", "--policy", "mine"], "there is no memory policy 'mine'"),
        (["set", "k", "1", "--new", "--version", "v"], "one of --version, --new and --policy"),
        (["list", "--prefix", "__"], "1 to 256 letters"),
        (["watch", "k", "--prefix", "k"], "one of the two"),
    ],
)
def test_bad_input_is_refused_naming_the_limit(run: Run, args: list[str], named: str) -> None:
    refused = run("memory", *args)
    assert refused.status == 2
    assert named in refused.said


def test_a_missing_key_is_3(run: Run) -> None:
    assert run("memory", "get", "k").status == 3
    assert run("memory", "delete", "k").status == 3
    assert "sentinel memory list" in run("memory", "get", "k").said


def test_a_version_that_has_changed_is_4(run: Run) -> None:
    version = run("memory", "set", "k", "1", "--new").stdout.strip()
    assert run("memory", "set", "k", "2", "--new").status == 4
    assert run("memory", "set", "k", "2", "--version", version).status == 0
    assert run("memory", "set", "k", "3", "--version", version).status == 4
    assert run("memory", "delete", "k", "--version", version).status == 4
    assert run("memory", "get", "k").stdout == "2\n"


def test_the_rule_can_be_named_and_configured(run: Run) -> None:
    run("memory", "set", "k", '{"a": 1, "b": 2}')
    run("memory", "set", "k", '{"a": null}', "--policy", "merge")
    assert run("memory", "get", "k").stdout == '{"b": 2}\n'
    refused = run("memory", "set", "k", "1", SENTINEL_MEMORY_SYNC_CONFLICT_RESOLUTION="compare_and_swap")
    assert refused.status == 4


def test_a_dry_run_changes_nothing(run: Run) -> None:
    assert run("memory", "set", "k", "1", "--dry-run").stdout == "would set default/k\n"
    assert run("memory", "get", "k").status == 3
    run("memory", "set", "k", "1")
    assert run("memory", "delete", "k", "--dry-run").stdout == "would delete default/k\n"
    assert run("memory", "set", "k", "2", "--new", "--dry-run").status == 4
    assert run("memory", "get", "k").stdout == "1\n"


def test_a_deleted_key_is_gone(run: Run) -> None:
    run("memory", "set", "k", "1")
    assert run("memory", "delete", "k", "-o", "json").json == {
        "namespace": "default",
        "key": "k",
        "deleted": True,
    }
    assert run("memory", "get", "k").status == 3


def test_values_are_listed_by_namespace_and_key(run: Run) -> None:
    for namespace, key in (("b", "x"), ("a", "y/1"), ("a", "z")):
        run("memory", "set", key, "1", "--namespace", namespace)
    listed = run("memory", "list", "-o", "json").json
    assert [(row["namespace"], row["key"]) for row in listed] == [("a", "y/1"), ("a", "z"), ("b", "x")]
    assert [row["key"] for row in run("memory", "list", "--prefix", "y/", "-o", "json").json] == ["y/1"]
    assert [row["key"] for row in run("memory", "list", "--namespace", "b", "-o", "json").json] == ["x"]


def test_a_table_shortens_long_values_and_moves_no_cursor(run: Run) -> None:
    run("memory", "set", "k", "\x1b[2J" + "x" * 200)
    table = run("memory", "list").stdout
    assert "\x1b" not in table
    assert "…" in table


def test_a_value_that_expires_is_gone_for_whoever_has_watched_it(run: Run) -> None:
    run("memory", "set", "k", "1", "--ttl", "600")
    assert run("memory", "get", "k", "-o", "json").json["ttl"] == 600


def test_a_watch_that_is_resumed_tells_what_has_changed_since(place: Place) -> None:
    position = str(place.folder / "position")
    watch = ("memory", "watch", "--resume", position, "--timeout", "0", "-o", "json")
    place.run("memory", "set", "a", "1")
    place.run("memory", "set", "b", "2")
    first = place.run(*watch)
    place.run("memory", "delete", "a")
    place.run("memory", "set", "c", "3")
    second = place.run(*watch)
    third = place.run(*watch)
    told = [
        [(row["event"], row["key"], row["value"]) for row in map(json.loads, ran.stdout.splitlines())]
        for ran in (first, second, third)
    ]
    assert told == [
        [("set", "a", 1), ("set", "b", 2)],
        [("deleted", "a", None), ("set", "c", 3)],
        [],
    ]
    assert (third.status, third.said) == (124, "nothing changed within 0 s")


def test_a_watch_ends_after_so_many_changes(place: Place) -> None:
    place.run("memory", "set", "a", "1")
    place.run("memory", "set", "b", '{"x": 2}')
    position = str(place.folder / "position")
    ran = place.run("memory", "watch", "--resume", position, "--count", "1")
    assert (ran.status, ran.stdout.startswith("set default/a 1 by ")) == (0, True)
    assert place.run("memory", "watch", "--resume", position, "--count", "1").stdout.startswith(
        'set default/b {"x": 2} by '
    )


def test_a_file_that_is_no_position_is_refused(place: Place, tmp_path: Path) -> None:
    (tmp_path / "position").write_text("[1")
    refused = place.run("memory", "watch", "--resume", str(tmp_path / "position"))
    assert (refused.status, "no position of a watch" in refused.said) == (2, True)


def test_a_rule_that_nobody_has_is_an_error_of_the_configuration(run: Run) -> None:
    ran = run("worker", "start", "--dry-run", SENTINEL_MEMORY_SYNC_CONFLICT_RESOLUTION="newest")
    assert ran.status == 78
    assert "SENTINEL_MEMORY_SYNC_CONFLICT_RESOLUTION" in ran.said
    assert "there is no memory policy 'newest'" in ran.said
