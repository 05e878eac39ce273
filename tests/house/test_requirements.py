"""`SENTINEL_REQUIRE`: a machine that promises something may not skip the tests that need it."""

from __future__ import annotations

import pytest

from tests.conftest import Require, check_requirement, required_names


def test_what_is_missing_skips_with_the_reason() -> None:
    with pytest.raises(pytest.skip.Exception, match="sshd: not on PATH"):
        check_requirement("sshd", found=False, reason="not on PATH", required=frozenset({"netns"}))


def test_what_is_missing_and_required_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"sshd: not on PATH .*no skip"):
        check_requirement("sshd", found=False, reason="not on PATH", required=frozenset({"sshd"}))


def test_what_is_found_goes_on() -> None:
    check_requirement("sshd", found=True, reason="not on PATH", required=frozenset({"sshd"}))


def test_the_list_is_split_at_commas_and_blanks_do_not_count() -> None:
    assert required_names(" netns, pidns,,") == {"netns", "pidns"}


def test_the_fixture_is_the_same_check(require: Require) -> None:
    require("anything", True, "is here")
