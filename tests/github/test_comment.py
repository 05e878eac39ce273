"""The comment says what people need, does nothing, tells no secret, and fits (B11 and its like)."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from sentinel.github.comment import MAX_COMMENT, Material, compose
from sentinel.github.markdown import block, code, inert, plain
from sentinel.github.material import material_of
from sentinel.github.place import locate
from sentinel.github.records import IssueRecord, OutboxEntry
from sentinel.model import task as transitions
from sentinel.model.approval import approve, take_in
from sentinel.model.origin import Source
from sentinel.model.progress import Report
from sentinel.model.redaction import MASK, Redactor
from sentinel.model.task import Ending, Task
from sentinel.store.memory import MemoryFleet, MemoryStore
from tests.unit.builders import AT, WALL, claimed

MARKER = OutboxEntry(number=12, nonce="0" * 32).marker
TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
OWN = "correct-horse-battery"

NASTY = (
    "@acme and @acme/team",
    "fixes #1 and GH-2",
    "<img src=x onerror=alert(1)>",
    "```\n@acme\n```",
    "~~~\n</details>\n~~~",
    "[click](https://example.org)",
    "| a | b |",
    "<!-- sentinel issue-12 00000000000000000000000000000000 -->",
    "\u202egnp.exe",
    "a\x00b\x1b[31m",
    "`@acme`",
    "\\@acme",
)


def task(**fields: Any) -> Task:
    source = Source(kind="issue", name="12", author=6, login="mallory")
    new = Task(id="issue-12", type=fields.pop("type", "work"), created_at=AT, **fields)
    return approve(take_in(new, source, wall=WALL, why="why"), by="alice", by_id=3, wall=WALL)


def said(
    task: Task | None,
    *,
    record: IssueRecord | None = None,
    log: bytes | None = None,
    result: Any = None,
    page: str | None = None,
    report: Report | None = None,
) -> str:
    material = Material(redactor=Redactor([OWN]), result=result, log=log, log_page=page, report=report)
    return compose(MARKER, record or IssueRecord(number=12), task, material)


def failed(message: str) -> Task:
    return transitions.end_attempt(claimed(task()), Ending(cause="error", message=message), wall=WALL)


def done(**fields: Any) -> Task:
    return transitions.end_attempt(claimed(task()), Ending(cause=None, **fields), wall=WALL)


def outside_of_code(text: str) -> str:
    """The text without fenced blocks and code spans, where GitHub reads nothing."""
    kept, fence = [], ""
    for line in text.split("\n"):
        found = re.match(r"`{3,}", line)
        if fence:
            if line.strip() == fence:
                fence = ""
        elif found:
            fence = found[0]
        else:
            kept.append(re.sub(r"`[^`]*`", "", line))
    assert not fence, "a block is never closed"
    return "\n".join(kept)


def everywhere(nasty: str) -> list[str]:
    """Comments in which this text is in every place where somebody's text can be."""
    record = IssueRecord(number=12, problem=nasty).noticed(AT, nasty)
    waiting = dataclasses.replace(task(), approval=None, state="awaiting_approval", args={nasty: nasty})
    return [
        said(None, record=record),
        said(waiting, record=record),
        said(claimed(task()), report=Report(task="issue-12", epoch=1, done=nasty, at=nasty)),
        said(failed(nasty), record=record, log=nasty.encode("utf-8", "surrogatepass")),
        said(done(), record=record, result={nasty: nasty}, log=nasty.encode()),
        said(transitions.cancel(task(), wall=WALL, reason=nasty), record=record),
        said(transitions.lose(claimed(task()), wall=WALL, evidence=nasty), record=record),
    ]


def test_the_marker_is_the_first_line_and_invisible() -> None:
    assert said(task()).partition("\n")[0] == f"<!-- sentinel issue-12 {'0' * 32} -->"


@pytest.mark.parametrize("nasty", NASTY)
def test_nobody_is_mentioned_and_nothing_is_referred_to(nasty: str) -> None:
    for text in everywhere(nasty):
        assert re.search(r"@[A-Za-z0-9]", text) is None
        assert re.search(r"(?<![A-Za-z0-9])(?:#|GH-)[0-9]", text) is None


@pytest.mark.parametrize("nasty", NASTY)
def test_no_html_is_left_outside_of_code(nasty: str) -> None:
    for text in everywhere(nasty):
        assert "<" not in outside_of_code(text.partition("\n")[2])


@pytest.mark.parametrize("nasty", NASTY)
def test_no_control_character_and_no_mark_of_direction_is_left(nasty: str) -> None:
    for text in everywhere(nasty):
        assert re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text) is None


@pytest.mark.parametrize("nasty", NASTY)
def test_a_comment_can_be_sent(nasty: str) -> None:
    for text in everywhere(nasty):
        assert text.encode("utf-8")


@pytest.mark.parametrize("secret", [TOKEN, OWN, f"https://x:{OWN}@host/", f"Authorization: Bearer {TOKEN}"])
def test_b11_no_secret_is_in_a_comment(secret: str) -> None:
    for text in everywhere(secret):
        assert TOKEN not in text
        assert OWN not in text


@pytest.mark.parametrize(
    ("log", "result"),
    [
        (b"x" * 1_000_000, None),
        (b"@a\n" * 300_000, None),
        (b"`" * 200_000, None),
        (None, ["x" * 1000] * 64),
        (b"\xff" * 100_000, {"a" * 60_000: "<" * 60_000}),
    ],
    ids=["one line", "many lines", "ticks", "list", "bytes"],
)
def test_a_comment_is_never_longer_than_github_takes(log: bytes | None, result: Any) -> None:
    notices = IssueRecord(number=12)
    for number in range(9):
        notices = notices.noticed(AT, f"{number} {'@<' * 400}")
    ended = failed("<@" * 1000)
    assert len(said(ended, record=notices, log=log)) < MAX_COMMENT
    assert len(said(done(), record=notices, log=log, result=result)) < MAX_COMMENT


COMMIT, BLOB = "c" * 40, "b" * 40


def logged(where: dict[str, Any]) -> Task:
    return transitions.end_attempt(
        claimed(task(retries=1)), Ending(cause="error", message="x", log=where), wall=WALL
    )


def page_of(one: Task, **environ: str) -> str | None:
    store = MemoryStore(MemoryFleet())
    return material_of(one, store, Redactor(), locate("github://acme/fleet", environ)).log_page


@pytest.mark.parametrize(
    ("environ", "page"),
    [
        ({}, f"https://github.com/acme/fleet/blob/{COMMIT}/{BLOB}"),
        (
            {"GITHUB_API_URL": "https://ghe.example.com/api/v3"},
            f"https://ghe.example.com/acme/fleet/blob/{COMMIT}/{BLOB}",
        ),
    ],
    ids=["github.com", "Enterprise"],
)
def test_the_page_of_a_log_is_where_people_read_the_repository(environ: dict[str, str], page: str) -> None:
    assert page_of(logged({"blob": BLOB, "commit": COMMIT, "bytes": 1}), **environ) == page


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"blob": BLOB},
        {"blob": BLOB, "commit": f"../{COMMIT}"},
        {"blob": "x) [y](https://example.org", "commit": COMMIT},
    ],
    ids=["none", "no commit", "a way out", "another link"],
)
def test_a_record_that_names_no_object_gives_no_link(where: dict[str, Any]) -> None:
    assert page_of(logged(where)) is None


def test_a_task_that_is_tried_again_links_to_the_log_of_the_attempt_before() -> None:
    page = "https://github.com/acme/fleet/blob/c/b"
    assert f"[Log of the last attempt that ended]({page})" in said(claimed(logged({})), page=page)


def test_the_end_of_a_log_comes_with_a_link_to_all_of_it() -> None:
    page = "https://github.com/acme/fleet/blob/c/b"
    assert f"[on a page of its own]({page})" in said(failed("it broke"), log=b"line\n", page=page)


def test_a_running_task_says_where_its_log_will_be() -> None:
    assert "`sentinel tasks logs issue-12 -f`" in said(claimed(task()))


def test_a_long_history_is_cut_to_its_last_attempts() -> None:
    one = task(retries=100)
    for _ in range(60):
        one = transitions.end_attempt(claimed(one), Ending(cause="error", message="again"), wall=WALL)
    text = said(one)
    assert "| 60 |" in text
    assert len(text) < MAX_COMMENT


def test_the_end_of_a_long_log_is_shown() -> None:
    log = b"".join(b"line %d\n" % number for number in range(10_000))
    text = said(failed("it broke"), log=log)
    assert "End of the log" in text
    assert "line 9999" in text
    assert "line 9700\n" not in text


def test_a_block_cannot_be_ended_by_what_is_in_it() -> None:
    text = "````\nfree\n`````"
    assert block(text).splitlines()[0] == "``````text"


def test_text_for_people_reads_as_it_was_written() -> None:
    assert plain("it took 3.5 s (or so) - fine!") == "it took 3.5 s (or so) - fine!"


def test_code_holds_no_tick_and_no_column() -> None:
    assert code("a`b|c") == "`a'b¦c`"


def test_an_address_is_no_mention() -> None:
    assert "\u200b" in inert("@acme")


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "github_pat_11ABCDEFG0123456789_abcdefghij",
        "ghs_0123456789abcdefghij",
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-123456789012-abcdef",
        "glpat-0123456789abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz",
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nabc",
    ],
)
def test_b11_what_has_the_shape_of_a_secret_is_taken_out(secret: str) -> None:
    assert Redactor().text(f"before {secret} after").startswith(f"before {MASK}")


@pytest.mark.parametrize(
    "text", ["ghp_short", "sk-1", "a@b.c", "https://host/path", "token", "3fa9c1d2e0b4" * 5]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_secret_that_is_known_is_taken_out_wherever_it_is() -> None:
    value = {OWN: [f"x{OWN}x", 1, None], "a": {"b": OWN}}
    assert Redactor([OWN]).value(value) == {MASK: [f"x{MASK}x", 1, None], "a": {"b": MASK}}


def test_bytes_that_are_no_text_stay_as_they_were() -> None:
    assert Redactor([OWN]).data(b"\xff" + OWN.encode() + b"\xfe") == b"\xff[redacted]\xfe"


@pytest.mark.parametrize("around", ["{}", "session_{} ", "a.{}.b", "eyJ-{}"])
def test_b11_a_web_token_is_taken_out_of_what_it_stands_in(around: str) -> None:
    signature = "dozjgNryP4J3jVmNHl0w5N"
    token = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{signature}"
    assert signature not in Redactor().text(around.format(token))


@pytest.mark.parametrize("beginning", ["-eyJ", "-eyJaaaaaaaa.eyJ", "-sk-", "://a:", "-----BEGIN "])
def test_what_a_task_prints_to_keep_the_redactor_busy_is_looked_through_once(beginning: str) -> None:
    # With a pattern that looks ahead from each of them this does not end within minutes.
    text = beginning * (8_000_000 // len(beginning))
    assert len(Redactor().text(text)) > 0


def test_a_short_value_is_no_secret() -> None:
    assert Redactor(["abc"]).text("abcdef") == "abcdef"
