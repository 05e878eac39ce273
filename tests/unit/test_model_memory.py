"""Values of shared memory: what may be one, merge patches, and the record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import BadInput, BadRecord
from sentinel.model import memory
from sentinel.model.codec import decode_document, encode_document
from sentinel.model.layout import memory_key
from sentinel.model.memory import Entry, merge_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("key", ["a", "task-42-assignment", "Build/2026:11_x@y=z+1.json", "0" * 256])
def test_a_key_of_the_documented_characters_is_accepted(key: str) -> None:
    assert memory.check_key(key) == key


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("", "1 to 256"),
        ("__proto__", "beginning with a letter or digit"),
        ("k" * 10_240, "of 10240 characters"),
        ("k" * 257, "1 to 256"),
        ("../etc", "beginning with a letter"),
        ("-o", "beginning with a letter"),
        ("a b", "letters, digits and any of"),
        ("a\nb", "letters, digits and any of"),
        ("é", "letters, digits and any of"),
        ("\ud800", "letters, digits and any of"),
        (7, "letters, digits and any of"),
    ],
)
def test_another_key_is_refused_naming_the_limit(key: object, named: str) -> None:
    with pytest.raises(BadInput) as refused:
        memory.check_key(key)
    assert named in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("namespace", ["", "__proto__", "A", "a/b", "n" * 129, None])
def test_a_namespace_that_is_no_id_is_refused(namespace: object) -> None:
    with pytest.raises(BadInput, match="memory namespace"):
        memory.check_namespace(namespace)


@pytest.mark.parametrize("ttl", [0, 0.9, -1, 604_801, float("nan"), float("inf"), True, "60"])
def test_a_ttl_out_of_range_is_refused_naming_the_range(ttl: object) -> None:
    with pytest.raises(BadInput, match="1 to 604,800 seconds"):
        memory.check_ttl(ttl)


def test_no_ttl_is_never() -> None:
    assert memory.check_ttl(None) == 0.0


def test_a_value_up_to_the_limit_is_accepted() -> None:
    value = "x" * (memory.MAX_VALUE_BYTES - 2)
    assert memory.check_value("ns/k", value) == value


def test_a_value_over_the_limit_is_refused_naming_it() -> None:
    with pytest.raises(BadInput, match="ns/k has 65537 bytes, more than the limit of 65536"):
        memory.check_value("ns/k", "x" * (memory.MAX_VALUE_BYTES - 1))


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, object(), "\ud800", {"a": {1}}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="not a JSON value"):
        memory.check_value("ns/k", value)


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_as_deep_as_is_documented_can_be_stored_and_one_deeper_is_refused() -> None:
    entry = Entry(namespace="ns", key="k", value=memory.check_value("ns/k", _nested(31)))
    data = encode_document(entry.stamped(1, "t").document())
    assert Entry.load(memory_key("ns", "k"), decode_document("k", data)).value == _nested(31)
    with pytest.raises(BadInput, match="deeper than 32"):
        memory.check_value("ns/k", _nested(32))


def test_a_value_is_what_readers_get() -> None:
    assert memory.check_value("ns/k", {"a": (1, 2)}) == {"a": [1, 2]}


# The examples of RFC 7386, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"),
        ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
        ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
        ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        ('["a","b"]', '["c","d"]', '["c","d"]'),
        ('{"a":"b"}', '["c"]', '["c"]'),
        ('{"a":"foo"}', "null", "null"),
        ('{"a":"foo"}', '"bar"', '"bar"'),
        ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
        ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
        ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(target: str, patch: str, result: str) -> None:
    assert merge_patch(json.loads(target), json.loads(patch)) == json.loads(result)


@given(JSON, JSON)
def test_a_merge_patch_twice_is_a_merge_patch_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(JSON, JSON)
def test_a_merge_patch_leaves_its_arguments_alone(target: Any, patch: Any) -> None:
    before = json.dumps([target, patch])
    merge_patch(target, patch)
    assert json.dumps([target, patch]) == before


@given(st.dictionaries(st.text(max_size=3), JSON), st.dictionaries(st.text(max_size=3), st.none()))
def test_null_removes_members_and_nothing_else(target: dict[str, Any], patch: dict[str, None]) -> None:
    assert merge_patch(target, patch) == {name: value for name, value in target.items() if name not in patch}


@given(JSON, st.floats(1, 604_800), st.text(max_size=5))
def test_an_entry_comes_back_from_its_document(value: Any, ttl: float, by: str) -> None:
    entry = Entry(
        namespace="ns", key="k/1", value=value, ttl=ttl, written_by=by, rev=3, tx="t", extra={"newer": 1}
    )
    key = memory_key("ns", "k/1")
    try:
        data = encode_document(entry.document())
    except ValueError:
        return  # half of a surrogate pair, which no document holds
    assert Entry.load(key, decode_document(key, data)) == entry


def test_an_entry_comes_back_from_its_row_with_all_that_people_see() -> None:
    entry = Entry(namespace="ns", key="k", value=[1], ttl=9.0, written_by="w", written_at="now", tx="t")
    assert Entry.of_row(entry.row()) == entry


@pytest.mark.parametrize("change", [{"key": "other"}, {"namespace": "other"}, {"key": ""}, {"ttl": -1}])
def test_a_record_that_is_not_what_its_place_says_is_refused(change: dict[str, Any]) -> None:
    document = Entry(namespace="ns", key="k", rev=1, tx="t").document() | change
    with pytest.raises(BadRecord):
        Entry.load(memory_key("ns", "k"), document)
