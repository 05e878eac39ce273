"""A record with some fields changed."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.model.evolve import evolve
from tests.unit.builders import task


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Positive:
    x: int
    y: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(self.x)


@dataclasses.dataclass(frozen=True)
class Open:
    x: int
    y: int


def test_what_is_not_changed_stays() -> None:
    assert evolve(Point(x=1, y=2), y=3) == Point(x=1, y=3)


def test_the_record_itself_stays_as_it_was() -> None:
    point = Point(x=1)
    evolve(point, x=2)
    assert point == Point(x=1)


def test_what_comes_out_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        evolve(Point(x=1), x=2).x = 3  # type: ignore[misc]  # that it cannot be is the point


def test_a_record_of_many_fields_is_what_replacing_them_gives() -> None:
    before = task(args={"n": 1}, after=("other",), reason="it waits")
    assert evolve(before, rev=7, tx="tx7") == dataclasses.replace(before, rev=7, tx="tx7")


def test_a_field_that_there_is_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="z"):
        evolve(Point(x=1), z=3)


@pytest.mark.parametrize("record", [Positive(1, 2), Open(1, 2)])
def test_a_record_that_is_more_than_its_slots_is_refused(record: object) -> None:
    with pytest.raises(TypeError):
        evolve(record, x=-1)
