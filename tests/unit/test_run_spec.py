"""Runs and their ends cross a pipe unchanged."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.evolve import evolve
from sentinel.peer.run.order import decode_order, encode_order, run_of
from sentinel.peer.run.spec import RunEnd, RunSpec

#: Texts as the operating system hands them over: bytes that are not UTF-8 become lone surrogates.
os_texts = st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))

specs = st.builds(
    RunSpec,
    run=st.text(),
    argv=st.lists(os_texts, min_size=1).map(tuple),
    env=st.dictionaries(os_texts, os_texts),
    cwd=os_texts,
    stdin=st.none() | st.text(),
    timeout=st.none() | st.floats(0.1, 1e6),
    grace=st.floats(0, 300),
    output_limit=st.integers(0, 1 << 40),
    own=st.dictionaries(os_texts, os_texts),
    lane=st.none() | st.just("0"),
    memory_limit=st.none() | st.integers(1, 1 << 50),
    log_path=os_texts,
    stdio=st.none() | st.tuples(*3 * [st.integers(3, 100)]),
)


@given(specs)
def test_a_spec_is_the_same_after_crossing_the_pipe(spec: RunSpec) -> None:
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(st.lists(specs, max_size=4))
def test_orders_are_what_was_ordered_whatever_was_ordered_before(found: list[RunSpec]) -> None:
    assert [decode_order(encode_order(spec)) for spec in found] == found


def test_what_a_run_shares_with_another_is_told_in_the_same_bytes() -> None:
    one = RunSpec(run="a", argv=("a",), env={"A": "b"}, cwd="/", log_path="/a", lane="0", own={"ID": "a"})
    two = evolve(one, run="b", log_path="/b", own={"ID": "b"})
    assert encode_order(one).partition(b"\t")[2] == encode_order(two).partition(b"\t")[2]


def test_runs_that_differ_in_what_most_share_are_told_apart() -> None:
    one = RunSpec(run="a", argv=("a",), env={"A": "b"}, cwd="/", log_path="/a", lane="0")
    two = evolve(one, memory_limit=1 << 20)
    assert [decode_order(encode_order(spec)).memory_limit for spec in (one, two, one)] == [
        None,
        1 << 20,
        None,
    ]


def test_the_run_of_an_order_is_known_by_its_beginning() -> None:
    assert run_of(encode_order(RunSpec(run="a", argv=("a",), env={}, cwd="/", log_path="/a"))) == "a"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"run": "a"}\t{"argv": []}', b'{"surprise": 1}\t{"argv": ["a"]}']
)
def test_what_is_no_order_is_refused(data: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        decode_order(data)


def test_a_spec_crosses_with_an_environment_that_is_no_dict() -> None:
    spec = RunSpec(run="r", argv=("a",), env=MappingProxyType({"A": "b"}), cwd="/", log_path="/l")
    assert RunSpec.from_json(spec.to_json()).env == {"A": "b"}


def test_an_end_is_the_same_after_crossing_the_pipe() -> None:
    end = RunEnd(run="r", cause="signal", signal=9, message="m", started_at=1.5, ended_at=2.5, log_bytes=7)
    assert RunEnd.from_json(json.loads(json.dumps(end.to_json()))) == end


@pytest.mark.parametrize("change", [{"argv": []}, {"surprise": 1}])
def test_a_spec_that_cannot_be_run_is_refused(change: dict[str, object]) -> None:
    spec = RunSpec(run="r", argv=("a",), env={}, cwd="/", log_path="/l")
    with pytest.raises(TypeError):
        RunSpec.from_json({**spec.to_json(), **change})
