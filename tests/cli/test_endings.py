"""How the process ends: documented statuses, one line on standard error, and never a traceback."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from sentinel import errors
from sentinel.cli.ending import plain, run_to_status
from sentinel.errors import BadRecord, ConfigurationError, SentinelError
from tests.cli.conftest import Place, Run

EXIT_STATUSES = {
    errors.SentinelError: 1,
    errors.BadInput: 2,
    errors.NotFound: 3,
    errors.Conflict: 4,
    errors.LockHeld: 4,
    errors.LockLost: 4,
    errors.WorkerIdInUse: 4,
    errors.Unavailable: 5,
    errors.OutcomeUnknown: 5,
    errors.NotAStore: 5,
    errors.Rejected: 5,
    errors.TaskFailed: 1,
    errors.WaitTimeout: 124,
}


def ending(error: BaseException) -> int:
    def command() -> None:
        raise error

    return run_to_status(command)


@pytest.mark.parametrize(
    ("kind", "status"), EXIT_STATUSES.items(), ids=lambda value: getattr(value, "__name__", None)
)
def test_every_error_of_ours_has_its_status_and_one_line(
    kind: type[SentinelError], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(kind("it is\nnot possible")) == status
    assert capsys.readouterr() == ("", "sentinel: it is\nsentinel: not possible\n")


def test_every_problem_of_a_configuration_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(ConfigurationError(["one", "two"])) == 78
    assert capsys.readouterr().err == "sentinel: one\nsentinel: two\n"


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (click.UsageError("No such thing."), 2, "No such thing"),
        (click.ClickException("it broke"), 1, "it broke"),
        (click.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            BadRecord("tasks/x", "it is torn"),
            5,
            "the record tasks/x: it is torn; `sentinel doctor`",
        ),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (click.exceptions.Exit(7), 7, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_other_errors_end_with_one_line_as_well(
    error: BaseException, status: int, line: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if isinstance(error, click.exceptions.Exit):
        assert run_to_status(lambda: error.exit_code) == status
        return
    assert ending(error) == status
    said = capsys.readouterr().err
    assert line is not None
    assert said.startswith(f"sentinel: {line}")
    assert said.count("\n") == 1


def test_a_bug_of_ours_says_where_its_traceback_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENTINEL_STATE_FOLDER", str(tmp_path))
    monkeypatch.delenv("SENTINEL_DEBUG", raising=False)
    assert ending(ZeroDivisionError("division by zero")) == 70
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    (kept,) = tmp_path.iterdir()
    assert str(kept) in said
    assert "ZeroDivisionError: division by zero" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_a_bug_whose_traceback_cannot_be_kept_says_how_to_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SENTINEL_STATE_FOLDER", str(tmp_path / "file"))
    monkeypatch.delenv("SENTINEL_DEBUG", raising=False)
    assert ending(ZeroDivisionError()) == 70
    assert "SENTINEL_DEBUG=1" in capsys.readouterr().err


def test_debugging_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENTINEL_DEBUG", "1")
    assert ending(ZeroDivisionError()) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢", "plain ä 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202e", "\\u202e"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_could_move_the_cursor_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown


# --- as processes -------------------------------------------------------------------------------------


def test_python_dash_m_is_the_command(place: Place) -> None:
    ran = place.process("--version")
    assert (ran.status, ran.stderr) == (0, "")
    assert re.fullmatch(r"sentinel \d+\.\d+\.\d+\n", ran.stdout)


def test_a_group_without_a_command_shows_its_help(place: Place) -> None:
    ran = place.run("tasks")
    assert (ran.status, "Usage: sentinel tasks" in ran.stdout + ran.stderr) == (2, True)


def test_a_reader_that_goes_away_is_no_error(place: Place) -> None:
    place.submit(*(f"task-{number}-{'x' * 90}" for number in range(900)))
    with subprocess.Popen(
        place.argv("tasks", "list"),
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr.read() == ""
        assert listing.wait(timeout=60) == 141


def test_a_full_disk_behind_standard_output_is_told(place: Place) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            place.argv("tasks", "list", "-o", "json"),
            env=place.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert "No space left" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_interrupt_ends_a_wait_with_130(place: Place) -> None:
    place.submit("a")
    waiting = subprocess.Popen(
        place.argv("tasks", "wait", "a"),
        env=place.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "a pending\n"
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=60)
    assert (waiting.returncode, said.strip()) == (130, "sentinel: interrupted")


def on_a_terminal(place: Place, *args: str, **environ: str) -> str:
    """What the command prints on a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        place.argv(*args),
        env={**place.environ, "TERM": "xterm", "COLUMNS": "200", **environ},
        stdout=follower,
    ) as command:
        os.close(follower)
        shown = b""
        while True:
            try:
                data = os.read(leader, 65_536)
            except OSError:
                break
            if not data:
                break
            shown += data
        command.wait(timeout=60)
    os.close(leader)
    return shown.decode()


def test_a_table_is_coloured_on_a_terminal_alone_and_only_without_no_color(place: Place) -> None:
    place.submit("a", "b")
    with place.client() as client:
        client.cancel("a")
    assert "\x1b[33m" in on_a_terminal(place, "tasks", "list")
    assert "\x1b[3" not in on_a_terminal(place, "tasks", "list", NO_COLOR="1")
    assert "\x1b" not in place.process("tasks", "list").stdout


def test_json_on_a_terminal_is_json(place: Place) -> None:
    assert on_a_terminal(place, "tasks", "list", "-o", "json").strip() == "[]"


# --- where the store comes from -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "--store {} tasks list",
        "tasks --store {} list",
        "tasks list --store {}",
        "tasks list --store={}",
        "--store /nowhere tasks list --store {}",
        "--store /nowhere tasks --store {} list",
    ],
)
def test_the_store_may_stand_anywhere_and_the_last_one_counts(place: Place, line: str) -> None:
    ran = place.run(*line.format(place.store).split(), SENTINEL_STORE="/nowhere")
    assert ran.status == 0


def test_the_last_store_counts_even_when_it_is_wrong(place: Place) -> None:
    ran = place.run("--store", str(place.store), "tasks", "list", "--store", "/nowhere")
    assert (ran.status, "/nowhere" in ran.said) == (5, True)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(place: Place) -> None:
    (place.folder / "config").mkdir()
    (place.folder / "config" / "shared.json").write_text('{"store": "/from-file"}')
    assert "/from-file" in place.run("tasks", "list", SENTINEL_STORE=None).said
    assert "/from-env" in place.run("tasks", "list", SENTINEL_STORE="/from-env").said
    assert place.run("tasks", "list", "--store", str(place.store), SENTINEL_STORE="/from-env").status == 0


def test_the_configuration_may_stand_before_and_after_the_command(place: Place) -> None:
    (place.folder / "other.json").write_text('{"store": "/from-file"}')
    for line in ("--config other.json tasks list", "tasks list --config other.json"):
        assert "/from-file" in place.run(*line.split(), SENTINEL_STORE=None).said


def test_json_stands_alone_on_standard_output_for_every_read(run: Run, place: Place) -> None:
    place.submit("a")
    with place.client() as client:
        client.acquire_lock("x")
    for line in (
        "tasks list",
        "tasks show a",
        "tasks why a",
        "workers list",
        "locks list",
        "locks show x",
        "doctor",
    ):
        ran = run(*line.split(), "-o", "json")
        assert isinstance(ran.json, list | dict), line
        assert ran.stderr == "", line


@pytest.mark.parametrize(
    "args", [["--help"], ["tasks", "--help"], ["tasks", "submit", "--help"], ["--version"]]
)
def test_help_needs_neither_a_store_nor_anything_heavy(place: Place, args: list[str]) -> None:
    program = (
        "import sys\nfrom sentinel.cli import main\n"
        f"try: main({args!r})\nexcept SystemExit: pass\n"
        "print(*sorted(set(sys.modules) & {'rich', 'pydantic', 'pygit2'}), file=sys.stderr)"
    )
    environ: dict[str, Any] = {**place.environ, "SENTINEL_STORE": "/nowhere"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout
    assert ran.stderr.split() == []


def test_submitting_imports_no_rich(place: Place) -> None:
    program = (
        "import sys\nfrom sentinel.cli import main\n"
        "try: main(['tasks', 'submit', 'shell', '--', 'true'])\nexcept SystemExit: pass\n"
        "print(*sorted(set(sys.modules) & {'rich', 'psutil', 'github'}), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=place.environ,
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr.split() == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert (ran.status, "_SENTINEL_COMPLETE" in ran.stdout) == (0, True)


def test_completion_completes_commands_and_options(place: Place) -> None:
    words = {"tasks su": "submit", "tasks submit --pri": "--priority"}
    for line, completed in words.items():
        ran = place.process(
            _SENTINEL_COMPLETE="bash_complete",
            COMP_WORDS=f"sentinel {line}",
            COMP_CWORD=str(len(line.split())),
        )
        assert completed in ran.stdout
