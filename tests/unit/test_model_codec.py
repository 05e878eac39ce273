"""Canonical JSON: what is no good JSON is refused in one line, before it can do harm."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import BadRecord
from sentinel.model.codec import (
    FORMAT,
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    decode,
    decode_document,
    encode,
    encode_document,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def nested(levels: int, innermost: Any = 0) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[" * 100_000, "nests deeper than 32 levels"),
        (b'{"a":' * 100_000, "nests deeper than 32 levels"),
        (b"[" * 33 + b"]" * 33, "nests deeper than 32 levels"),
        (b"NaN", "NaN is not a JSON number"),
        (b'{"a":Infinity}', "Infinity is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"1e999", "the number 1e999 is too large"),
        (b"[-1e999]", "the number -1e999 is too large"),
        (b"9" * 5_000, "the number 9{40}… is too large"),
        (b'{"a":1,"b":2,"a":3}', "the key 'a' stands twice"),
        (b'[{"x":{"a":1,"\\u0061":1}}]', "the key 'a' stands twice"),
        (b" " * 10_000_000, "10000000 bytes are more than the limit"),
        (b'"\xff"', "not UTF-8 \\(byte 1\\)"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('"ä"'.encode("utf-16"), "not UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "byte-order mark"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\udfff":1}', "half of a surrogate pair"),
        (b"", "Expecting value at line 1 column 1"),
        (b"{", "line 1 column 2"),
        (b'{"a":1}\n{"b":2}', "Extra data at line 2 column 1"),
        (b"[1,]", "line 1"),
        (b"{'a':1}", "line 1 column 2"),
        (b"nul", "Expecting value"),
        (b'"a\nb"', "Invalid control character"),
        (b'"\\x"', "Invalid"),
        (b"01", "Extra data"),
    ],
    ids=lambda value: (
        value[:20].decode("latin-1").encode("ascii", "replace").decode() if isinstance(value, bytes) else None
    ),
)
def test_what_is_no_good_json_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        decode(data)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except ValueError:
        return
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "data",
    [b'"' + b'\\"' * 130_000, b'"' * 250_001, b'["' + b"\\" * 250_001, b'""[' * 80_000, b"[]" * 120_000],
    ids=["escapes", "quotes", "backslashes", "texts and brackets", "brackets"],
)
def test_a_text_that_never_ends_costs_no_more_than_its_length(data: bytes) -> None:
    # With a step for each pair of bytes this would take minutes.
    with pytest.raises(ValueError, match=r"."):
        decode(data)


@pytest.mark.parametrize("text", ["[[[]]]]]", '"[[[[" {"a": "}}}}"}', "\\", "]" * 40])
def test_brackets_in_texts_are_no_levels(text: str) -> None:
    assert decode(encode(text * 40)) == text * 40


@pytest.mark.parametrize("innermost", [0, [], {}, "x", [0]], ids=str)
def test_what_can_be_written_at_the_deepest_level_can_be_read(innermost: object) -> None:
    for levels in range(MAX_DEPTH - 2, MAX_DEPTH + 2):
        try:
            data = encode(nested(levels, innermost))
        except ValueError:
            continue
        assert decode(data) == nested(levels, innermost)


def test_as_many_levels_as_the_limit_are_taken() -> None:
    assert decode(encode(nested(MAX_DEPTH))) == nested(MAX_DEPTH)


@pytest.mark.parametrize("innermost", [0, [], {}], ids=str)
def test_one_level_more_than_the_limit_is_not_written(innermost: object) -> None:
    with pytest.raises(ValueError, match="deeper than 32 levels"):
        encode(nested(MAX_DEPTH + (innermost == 0), innermost))


@settings(max_examples=40)
@given(JSON)
def test_a_value_is_read_back_as_it_was_written(value: object) -> None:
    assert decode(encode(value)) == value


@settings(max_examples=40)
@given(JSON)
def test_one_value_has_one_text(value: object) -> None:
    assert encode(decode(encode(value))) == encode(value)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6), st.randoms())
def test_the_order_of_keys_does_not_show(document: dict[str, int], rng: Any) -> None:
    items = list(document.items())
    rng.shuffle(items)
    assert encode(dict(items)) == encode(document)


def test_the_canonical_text_has_sorted_keys_and_no_spaces() -> None:
    assert encode({"b": [1, 2.5, None, True], "a": "ä\n"}) == '{"a":"ä\\n","b":[1,2.5,null,true]}'.encode()


def a_ring() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        "\ud800",
        {"\udfff": 1},
        {1: "a"},
        {True: 1},
        {None: 1},
        {1.5: 1},
        [{(): 1}],
        b"bytes",
        {"a": {1, 2}},
        object(),
        a_ring(),
        10**5_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(value)


@pytest.mark.parametrize("value", ["__proto__", "\u202e", "\0", "\U0001f600"], ids=ascii)
def test_odd_texts_are_only_texts(value: str) -> None:
    assert decode(encode({value: value})) == {value: value}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "no format number"),
        (b'{"format":"1"}', "no format number"),
        (b'{"format":true}', "no format number"),
        (b'{"format":1.0}', "no format number"),
        (b'{"format":0}', "no format number"),
        (b'{"format":2}', "has format 2, newer than 1; upgrade"),
        (b'{"format":' + b"9" * 4_000 + b"}", "newer than 1"),
        (b'{"format":1', "line 1"),
        (b'{"format":1,"a":NaN}', "NaN"),
        (b"x" * (MAX_DOCUMENT_BYTES + 1), "more than the limit"),
    ],
    ids=lambda value: None if isinstance(value, str) else value[:20].decode(),
)
def test_bytes_that_are_no_document_are_a_bad_record_that_names_the_key(data: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=rf"^tasks/a: .*{reason}") as bad:
        decode_document("tasks/a", data)
    assert len(str(bad.value)) < 300


def test_a_document_is_written_with_its_format() -> None:
    assert json.loads(encode_document({"a": 1})) == {"a": 1, "format": FORMAT}


def test_a_document_over_the_limit_is_not_written() -> None:
    with pytest.raises(ValueError, match=f"passes the limit of {MAX_DOCUMENT_BYTES}"):
        encode_document({"a": "x" * MAX_DOCUMENT_BYTES})


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5).filter(lambda name: name != "format"), JSON, max_size=5))
def test_every_document_that_is_written_can_be_read(document: dict[str, Any]) -> None:
    assert decode_document("k", encode_document(document)) == {**document, "format": FORMAT}
