"""Faults B3 to B6: what no command may take, each refused with one line and status 2, and nothing written."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.conftest import Place, Run

# NUL and bytes that are not text cannot stand in an argument in this process: see the process tests below.
BAD_IDS = [
    "../../etc/passwd",
    "$(id)",
    "`id`",
    "a\r\nb",
    "a\nb",
    "a\u202eb",
    "a" * 300,
    "",
    "a..b",
    "web.lock.",
    "UPPER",
    "-oProxyCommand=x",
    "--store=x",
]
#: Every command that takes an id, with ID where it stands.
TAKES_ID = [
    ["tasks", "submit", "--id=ID", "shell", "--", "true"],
    ["tasks", "submit", "--after=ID", "shell", "--", "true"],
    ["tasks", "submit", "--", "ID"],
    ["tasks", "list", "--type=ID"],
    ["tasks", "list", "--worker=ID"],
    ["tasks", "show", "--", "ID"],
    ["tasks", "logs", "--", "ID"],
    ["tasks", "wait", "--", "ID"],
    ["tasks", "cancel", "--", "ID"],
    ["tasks", "retry", "--", "ID"],
    ["tasks", "why", "--", "ID"],
    ["workers", "show", "--", "ID"],
    ["workers", "remove", "--", "ID"],
    ["locks", "list", "--worker=ID"],
    ["locks", "show", "--", "ID"],
    ["locks", "acquire", "--", "ID"],
    ["locks", "renew", "--epoch=1", "--", "ID"],
    ["locks", "release", "--epoch=1", "--", "ID"],
    ["locks", "run", "--", "ID", "true"],
    ["healthcheck", "--worker=ID"],
    ["worker", "start", "--dry-run", "--id=ID"],
]


def commits(place: Place) -> int:
    argv = ["git", "-C", str(place.store), "rev-list", "--count", "sentinel/state"]
    return int(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("command", TAKES_ID, ids=" ".join)
def test_a_text_that_is_no_id_is_refused_by_every_command(place: Place, command: list[str]) -> None:
    for bad in BAD_IDS:
        ran = place.run(*(word.replace("ID", bad) if word != bad else word for word in command))
        assert (ran.status, ran.stdout) == (2, ""), (bad, ran)
        assert "lower-case letters and digits" in ran.said
        assert ran.said.isprintable()
        assert len(ran.said) < 300
    assert commits(place) == 1


def test_an_option_in_the_place_of_an_id_is_refused(run: Run) -> None:
    assert run("tasks", "show", "-oProxyCommand=x").status == 2
    assert run("tasks", "show", "--upload-pack=x").status == 2


def test_bytes_that_are_no_text_are_refused(place: Place) -> None:
    calls: list[list[str | bytes]] = [["tasks", "show"], ["tasks", "submit", "shell", "--"]]
    for args in calls:
        argv = [*place.argv(), *args, b"\xff"]
        ran = subprocess.run(
            argv, env=place.environ, cwd=place.folder, capture_output=True, timeout=60, check=False
        )
        assert (ran.returncode, ran.stdout) == (2, b"")
        assert ran.stderr.startswith(b"sentinel: ")
        assert ran.stderr.count(b"\n") == 1


BAD_JSON = {
    "100,000 levels deep": b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "just too deep": b'{"x":' + b"[" * 32 + b"]" * 32 + b"}",
    "NaN": b'{"x": NaN}',
    "Infinity": b'{"x": -Infinity}',
    "a number that is infinite": b'{"x": 1e999}',
    "duplicate keys": b'{"x": 1, "x": 2}',
    "10 MB": b'{"x": "' + b"y" * 10_000_000 + b'"}',
    "just too large": b'{"x": "' + b"y" * 65_536 + b'"}',
    "not UTF-8": b'{"x": "\xff"}',
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "a BOM": b'\xef\xbb\xbf{"x": 1}',
    "half a surrogate pair": b'{"x": "\\ud800"}',
    "a huge number": b'{"x": ' + b"9" * 5_000 + b"}",
    "torn": b'{"x": ',
    "empty": b"",
    "no object": b"[1]",
    "a text": b'"x"',
    "two documents": b"{} {}",
}


@pytest.mark.parametrize("data", BAD_JSON.values(), ids=list(BAD_JSON))
@pytest.mark.parametrize("place_of_it", ["file", "stdin"])
def test_json_that_is_not_right_is_refused_with_one_line(place: Place, data: bytes, place_of_it: str) -> None:
    (place.folder / "args.json").write_bytes(data)
    source = "args.json" if place_of_it == "file" else "-"
    ran = place.run("tasks", "submit", "shell", "--args-json", source, stdin=data)
    assert (ran.status, ran.stdout) == (2, "")
    assert "--args-json" in ran.said
    assert len(ran.said) < 300
    assert commits(place) == 1


def test_a_file_of_arguments_that_is_missing_is_named(run: Run) -> None:
    ran = run("tasks", "submit", "shell", "--args-json", "nowhere.json")
    assert ran.status == 2
    assert "nowhere.json" in ran.said


def test_json_in_an_argument_that_is_not_right_is_text_for_an_unknown_type(run: Run) -> None:
    for text in ("NaN", "1e999", "[" * 40, '{"a": 1, "a": 2}', "Infinity"):
        ran = run("tasks", "submit", "work", "--allow-unknown-type", "--arg", f"x={text}", "-o", "json")
        assert ran.json["args"] == {"x": text}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--timeout", "0"], ["timeout 0 ", "0.1 to 604,800"]),
        (["--timeout", "-1"], ["timeout -1 ", "0.1 to 604,800"]),
        (["--timeout", "1e9"], ["0.1 to 604,800"]),
        (["--timeout", "soon"], ["'soon'", "0.1 to 604,800"]),
        (["--timeout", "nan"], ["0.1 to 604,800"]),
        (["--timeout", "inf"], ["0.1 to 604,800"]),
        (["--timeout", ""], ["0.1 to 604,800"]),
        (["--timeout", "1_0"], ["'1_0'", "0.1 to 604,800"]),
        (["--priority", "urgent"], ["'urgent'", "'low', 'normal', 'high', 'critical'"]),
        (["--retries", "-1"], ["retries -1 ", "0 to 100"]),
        (["--retries", "101"], ["0 to 100"]),
        (["--retries", "1.5"], ["0 to 100"]),
        (["--retries", "many"], ["0 to 100"]),
        (["--retries", "9" * 5_000], ["0 to 100"]),
        (["--wait-timeout", "-1"], ["0 to 31,536,000"]),
        (["--affinity", "zone"], ["NAME=VALUE"]),
        (["--affinity", "zone="], ["printable"]),
        (["--arg", "novalue"], ["NAME=VALUE"]),
        (["--arg", "=x"], ["NAME=VALUE"]),
        (["--arg", "a=1", "--arg", "a=2"], ["twice"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)
def test_values_out_of_range_are_refused_with_the_range(
    place: Place, args: list[str], words: list[str]
) -> None:
    ran = place.run("tasks", "submit", "shell", *args, "--", "true")
    assert (ran.status, ran.stdout) == (2, "")
    assert [word for word in words if word not in ran.said] == []
    assert len(ran.said) < 300
    assert commits(place) == 1


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["locks", "acquire", "x", "--ttl", "4"], "5 to 86,400"),
        (["locks", "acquire", "x", "--ttl", "1e9"], "5 to 86,400"),
        (["locks", "acquire", "x", "--wait", "-1"], "0 to 31,536,000"),
        (["locks", "renew", "x", "--epoch", "0"], "epoch"),
        (["locks", "renew", "x", "--epoch", "one"], "epoch"),
        (["locks", "renew", "x", "--epoch", "1", "--ttl", "soon"], "5 to 86,400"),
        (["locks", "release", "x"], "--epoch N or --force"),
        (["locks", "release", "x", "--epoch", "1", "--force"], "--epoch N or --force"),
        (["tasks", "wait", "a", "--timeout", "-1"], "0 to 31,536,000"),
        (["tasks", "list", "--state", "runing"], "the nearest is running"),
        (["worker", "start", "--dry-run", "--max-tasks", "0"], "1<=x<=1000"),
        (["worker", "start", "--dry-run", "--duration", "long"], "55m"),
        (["tasks", "list", "-o", "xml"], "'table', 'wide', 'json'"),
        (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
def test_other_values_are_refused_with_their_rule(run: Run, args: list[str], word: str) -> None:
    ran = run(*args)
    assert (ran.status, ran.stdout) == (2, "")
    assert word in ran.said


# --- B5: types and arguments --------------------------------------------------------------------------

CONFIG = """
{"tasks": {"commands": {"word-count": {
  "argv": ["wc", "-w", "{path}", "{lines}"],
  "args": {"path": {"type": "string"}, "lines": {"type": "integer", "default": 1}},
  "timeout": 60, "retries": 2}}}}
"""


@pytest.fixture
def configured(place: Place) -> Place:
    (place.folder / "config").mkdir()
    (place.folder / "config" / "shared.json").write_text(CONFIG)
    return place


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ["wordcount"],
            ["'wordcount'", "nearest is word-count", "config/shared.json", "--allow-unknown-type"],
        ),
        (["word-count", "--arg", "pth=docs"], ["'pth'", "'path'"]),
        (["word-count"], ["needs the argument 'path'"]),
        (["word-count", "--arg", "path=docs", "--arg", "lines=few"], ["'lines'", "a whole number", "a text"]),
        (["word-count", "--arg", "path=docs", "--arg", "lines=1.5"], ["'lines'", "a whole number"]),
        (["word-count", "--arg", "path=docs", "--", "more"], ["by name only"]),
        (["word-count", "--arg", "path=-x"], ["must not begin with '-'"]),
        (["shell"], ["argv"]),
        (["shell", "--arg", "x=1", "--", "true"], ["'x'", "after --"]),
    ],
    ids=lambda value: " ".join(value)[:60],
)
def test_types_and_arguments_that_do_not_fit_are_refused(
    configured: Place, args: list[str], words: list[str]
) -> None:
    ran = configured.run("tasks", "submit", *args)
    assert (ran.status, ran.stdout) == (2, "")
    assert [word for word in words if word not in ran.said] == [], ran.said
    assert commits(configured) == 1


def test_arguments_are_read_as_the_declared_type(configured: Place) -> None:
    ran = configured.run(
        "tasks", "submit", "word-count", "--arg", "path=42", "--arg", "lines=3", "-o", "json"
    )
    assert ran.json["args"] == {"path": "42", "lines": 3}
    assert (ran.json["timeout"], ran.json["retries"]) == (60, 2)


def test_input_is_checked_in_the_order_syntax_names_types_existence(configured: Place) -> None:
    wrong = ["word-cnt", "--arg", "lines=few", "--after", "nowhere"]
    submit = ["tasks", "submit"]
    assert "task id" in configured.run(*submit, *wrong, "--id", "BAD").said
    assert "word-count" in configured.run(*submit, *wrong).said
    wrong[0] = "word-count"
    assert "needs the argument 'path'" in configured.run(*submit, *wrong).said
    wrong += ["--arg", "path=x"]
    assert "a whole number" in configured.run(*submit, *wrong).said
    wrong[2] = "lines=1"
    ran = configured.run(*submit, *wrong)
    assert (ran.status, "nowhere" in ran.said) == (3, True)


def test_input_is_refused_before_the_store_is_opened(run: Run) -> None:
    assert run("tasks", "submit", "shell", "--timeout", "0", "--store", "/nowhere", "--", "true").status == 2


def test_the_registered_function_of_a_module_checks_its_arguments(place: Place) -> None:
    (place.folder / "countjobs.py").write_text(
        "import sentinel\n"
        "@sentinel.task('count-words', timeout=7)\n"
        "def count_words(path: str, lines: int = 1) -> int:\n    return 0\n"
    )
    modules = {"SENTINEL_TASKS_MODULES": "countjobs"}
    good = place.process("tasks", "submit", "count-words", "--arg", "path=1", "-o", "json", **modules)
    assert good.json["args"] == {"path": "1"}
    assert good.json["timeout"] == 7
    bad = place.process("tasks", "submit", "count-words", "--arg", "pth=1", **modules)
    assert (bad.status, "'path'" in bad.said) == (2, True)
    unknown = place.process("tasks", "submit", "count-word", **modules)
    assert (unknown.status, "count-words (module countjobs)" in unknown.said) == (2, True)


def test_a_module_that_cannot_be_loaded_is_named(place: Place) -> None:
    ran = place.run("tasks", "submit", "work", SENTINEL_TASKS_MODULES="no_such_module_here")
    assert (ran.status, "no_such_module_here" in ran.said) == (2, True)


def test_an_unknown_option_and_an_unknown_command_are_answered_with_the_nearest(run: Run) -> None:
    assert "--state" in run("tasks", "list", "--stat", "done").said
    ran = run("tasks", "sbmit")
    assert (ran.status, "submit" in ran.said) == (2, True)
