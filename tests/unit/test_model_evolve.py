"""A record with some fields changed."""

from __future__ import annotations

import dataclasses

import pytest

from sentinel.model.evolve import evolve


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 0


def test_what_is_not_changed_stays() -> None:
    assert evolve(Point(x=1, y=2), y=3) == Point(x=1, y=3)


def test_the_record_itself_stays_as_it_was() -> None:
    point = Point(x=1)
    evolve(point, x=2)
    assert point == Point(x=1)


def test_a_field_that_there_is_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="z"):
        evolve(Point(x=1), z=3)
