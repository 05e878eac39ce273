"""Lines between daemon, supervisor and reapers."""

from __future__ import annotations

from sentinel.peer.run.line import fields, line, words


def test_a_line_is_routed_by_its_words() -> None:
    assert words(line("start", "a-1", "0", cwd="/ {")[:-1])[0] == ["start", "a-1", "0"]


def test_the_object_of_a_line_arrives_as_it_was() -> None:
    told = {"left": '{"result": "a\nb \0"}', "code": 0}
    assert fields(words(line("ended", "a-1", **told)[:-1])[1]) == told


def test_a_line_is_one_line_whatever_it_says() -> None:
    assert line("ended", "a-1", left="one\ntwo").count(b"\n") == 1


def test_a_word_alone_has_an_empty_object() -> None:
    assert words(line("end")[:-1]) == (["end"], b"{}")
