"""A frozen mapping of which changed ones are made."""

from __future__ import annotations

import random

from sentinel.fleet.sharded import Sharded


def made(**values: int) -> Sharded[int]:
    return Sharded[int]().updated(values)


def test_it_is_what_a_dict_would_be_after_any_changes() -> None:
    rng = random.Random(3)
    plain: dict[str, int] = {}
    sharded = Sharded[int]()
    for number in range(300):
        changes = {f"k{rng.randrange(40)}": rng.choice((None, number)) for _ in range(rng.randrange(5))}
        plain = {name: value for name, value in {**plain, **changes}.items() if value is not None}
        sharded = sharded.updated(changes)
        assert (dict(sharded), len(sharded), sorted(sharded.items()), sorted(sharded.values())) == (
            plain,
            len(plain),
            sorted(plain.items()),
            sorted(plain.values()),
        )


def test_the_one_that_was_changed_stays_as_it_was() -> None:
    before = made(a=1, b=2)
    before.updated({"a": 7, "b": None, "c": 3})
    assert before == {"a": 1, "b": 2}


def test_what_is_not_there_is_not_found() -> None:
    number: object = 1
    assert (made(a=1).get("b"), made(a=1).get("b", 9), "b" in made(a=1), number in made(a=1)) == (
        None,
        9,
        False,
        False,
    )


def test_equal_ones_are_gone_through_in_the_same_order() -> None:
    names = [f"k{number}" for number in range(50)]
    forwards = Sharded[int]().updated(dict.fromkeys(names, 1))
    one_by_one = Sharded[int]()
    for name in names:
        one_by_one = one_by_one.updated({name: 1})
    assert list(forwards) == list(one_by_one)
