"""The live log keeps what it can and never fails its run."""

from __future__ import annotations

from pathlib import Path

from sentinel.peer.run.log import LiveLog


def test_output_is_appended(tmp_path: Path) -> None:
    log = LiveLog(str(tmp_path / "log"), 100)
    log.append(b"one ")
    log.append(b"two")
    assert (tmp_path / "log").read_bytes() == b"one two"
    assert (log.size, log.truncated) == (7, False)


def test_output_is_cut_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    log = LiveLog(str(tmp_path / "log"), 5)
    log.append(b"123")
    log.append(b"456")
    log.append(b"789")
    assert (tmp_path / "log").read_bytes() == b"12345"
    assert (log.size, log.truncated) == (5, True)


def test_a_limit_of_zero_keeps_nothing(tmp_path: Path) -> None:
    log = LiveLog(str(tmp_path / "log"), 0)
    log.append(b"x")
    assert (log.size, log.truncated) == (0, True)


def test_a_missing_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    LiveLog(str(tmp_path / "new" / "log"), 5).append(b"x")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "log").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_told_once_and_for_all() -> None:
    log = LiveLog("/dev/full", 100)
    log.append(b"one")
    log.append(b"two")
    assert (log.size, log.truncated) == (0, True)
    assert log.problem == "the log could not be written: No space left on device"


def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    log = LiveLog(str(tmp_path), 100)
    log.append(b"one")
    assert log.problem == "the log could not be written: Is a directory"
