"""Configuration files that cannot be read, are not JSON, or disagree (B7)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import ConfigurationError
from sentinel.settings import load
from sentinel.settings.jsonfile import parse_object

SHARED = "config/shared.json"


def write(folder: Path, name: str, content: Any) -> None:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def problems(
    folder: Path, environ: dict[str, str] | None = None, config: Path | None = None, **flags: object
) -> list[str]:
    """The problems of a configuration that must have some."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    with pytest.raises(ConfigurationError) as caught:
        load(dotted, environ=environ or {}, folder=folder, config=config)
    assert caught.value.exit_status == 78
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def short(value: object) -> str:
    """A test id from a parameter that may be huge."""
    return ascii(value)[:40]


def nest(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


@pytest.mark.parametrize("name", ["nope.json", "nowhere/shared.json"])
def test_a_file_that_was_named_and_is_missing_is_a_problem(tmp_path: Path, name: str) -> None:
    assert problems(tmp_path, config=Path(name)) == [
        f"flag --config: the configuration file {name} does not exist"
    ]


def test_a_missing_file_that_a_variable_named_names_the_variable(tmp_path: Path) -> None:
    assert problems(tmp_path, {"SENTINEL_CONFIG": "nope"}) == [
        "environment SENTINEL_CONFIG: the configuration file nope does not exist"
    ]
    write(tmp_path, ".env", "SENTINEL_CONFIG=nope\n")
    assert problems(tmp_path) == [".env:1: SENTINEL_CONFIG: the configuration file nope does not exist"]


def test_a_named_folder_without_a_shared_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()
    assert problems(tmp_path, config=Path("fleet")) == [
        "flag --config: the configuration file fleet/shared.json does not exist"
    ]


def test_a_link_to_nowhere_is_a_problem_even_when_nobody_named_it(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / SHARED).symlink_to("gone.json")
    assert problems(tmp_path) == [f"{SHARED} cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            '{\n  "store": "a",\n}',
            "not JSON at line 3 column 1: Expecting property name enclosed in double quotes",
        ),
        ('{"store": "a"\n "log": {}}', "not JSON at line 2 column 2: Expecting ',' delimiter"),
        ("", "not JSON at line 1 column 1: Expecting value"),
        ("[]", "must hold a JSON object, in braces"),
        ('"text"', "must hold a JSON object, in braces"),
        ("[" * 100_000, "nests deeper than 32 levels"),
        ('{"store": NaN}', "store is NaN, which is not a JSON number"),
        ('{"retention": {"days": -Infinity}}', "retention.days is -Infinity, which is not a JSON number"),
        ('{"retention": {"days": 1e999}}', "retention.days is too large a number"),
        ('{"retention": {"days": 1' + "0" * 5000 + "}}", "retention.days is too large a number"),
        ('{"capacity": {"supportedTaskTypes": ["a", NaN]}}', "capacity.supportedTaskTypes[1] is NaN"),
        ('{"log": {"level": "info", "level": "debug"}}', "log.level stands twice in one object"),
        ('{"store": "\\ud800"}', "store holds half of a surrogate pair"),
    ],
    ids=short,
)
def test_bad_json_is_a_problem_with_its_place(tmp_path: Path, content: str, expected: str) -> None:
    write(tmp_path, SHARED, content)
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{SHARED}: {expected}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbf{}", "begins with a byte order mark; save it as UTF-8 without one"),
        (b'{\n "store": "\xff"}', "is not UTF-8 at line 2 column 12"),
        ('{"store": "a"}'.encode("utf-16"), "is not UTF-8 at line 1 column 1"),
        (b"{" + b" " * 1024 * 1024 + b"}", "is larger than 1048576 bytes"),
    ],
    ids=short,
)
def test_bytes_that_are_no_utf8_text_are_a_problem(tmp_path: Path, content: bytes, expected: str) -> None:
    write(tmp_path, SHARED, content)
    assert problems(tmp_path) == [f"{SHARED} {expected}"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("oh no\n", ".env:1 is not a line of the form NAME=value"),
        ("# one\nWORKER_ID\n", ".env:2: WORKER_ID has no value; write WORKER_ID=value"),
        ("WORKER_ID=a\nWORKER_ID=b\n", ".env:2: WORKER_ID was already set at .env:1, to another value"),
        (b"\xef\xbb\xbfWORKER_ID=a\n", ".env begins with a byte order mark; save it as UTF-8 without one"),
        (b"X=\xff\n", ".env is not UTF-8 at line 1 column 3"),
    ],
    ids=short,
)
def test_a_bad_dotenv_file_is_a_problem_with_its_line(tmp_path: Path, content: Any, expected: str) -> None:
    write(tmp_path, ".env", content)
    assert problems(tmp_path) == [expected]


def test_what_other_programs_keep_in_a_dotenv_file_is_theirs(tmp_path: Path) -> None:
    write(tmp_path, ".env", "OTHER\nTHING=1\nTHING=2\nexport QUOTED='a b' # c\n")
    assert load(environ={}, folder=tmp_path).warnings == ()


def test_a_worker_file_that_is_somebody_elses_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "config/worker-001.json", {"workerId": "worker-002"})
    assert problems(tmp_path, {"WORKER_ID": "worker-001"}) == [
        'config/worker-001.json: workerId is "worker-002", but environment WORKER_ID chose this file for '
        "worker-001; make the two agree"
    ]


def test_a_worker_file_that_contradicts_the_shared_one_for_the_fleet_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("distributed.locking.ttlSeconds", 300))
    write(tmp_path, "config/w1.json", nest("distributed.locking.ttlSeconds", 60))
    assert problems(tmp_path, worker__id="w1") == [
        "config/w1.json: distributed.locking.ttlSeconds is 60, but config/shared.json: "
        "distributed.locking.ttlSeconds is 300; it is one value for the whole fleet, so keep it in the "
        "shared file alone"
    ]


def test_a_command_that_differs_between_two_files_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("tasks.commands.a.argv", ["one"]))
    write(tmp_path, "config/w1.json", nest("tasks.commands.a.argv", ["two"]))
    (problem,) = problems(tmp_path, worker__id="w1")
    assert problem.startswith("config/w1.json: tasks.commands.a is ")


def test_a_worker_file_may_repeat_what_the_shared_file_says(tmp_path: Path) -> None:
    for name in (SHARED, "config/w1.json"):
        write(tmp_path, name, nest("distributed.locking.ttlSeconds", 60))
    assert load({"worker.id": "w1"}, environ={}, folder=tmp_path).locking.ttl == 60


@pytest.mark.parametrize("key", ["workerId", "hostname"])
def test_what_no_two_workers_share_is_refused_in_the_shared_file(tmp_path: Path, key: str) -> None:
    write(tmp_path, SHARED, {key: "x"})
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{SHARED}: {key} belongs into a worker file")


def test_an_id_that_would_read_the_shared_file_as_the_workers_own_is_refused(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {})
    (problem,) = problems(tmp_path, worker__id="shared")
    assert problem.startswith("flag --id: the id shared would make config/shared.json the worker's own file")


@given(st.text(st.sampled_from('{}[]":,\\ \n01eE.-NaInfity"tru${}ul\ud800é')) | st.text())
def test_whatever_a_file_holds_reading_it_never_fails_otherwise(text: str) -> None:
    reported: list[str] = []
    assert isinstance(parse_object(text, reported.append), dict)
    assert all(isinstance(reason, str) for reason in reported)
