"""Proof of death: the lock, the word `empty`, and the announced identity; each of them is needed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.fleet.proof import EMPTY, NoProof, ProofFolder, boot_id
from sentinel.model.layout import session_register
from sentinel.model.worker import Incarnation, Proof
from tests.unit.builders import incarnation

BOOT = "boot-1"


class Daemon:
    """One that announced a proof file, and whose supervisor may end."""

    def __init__(self, folder: Path, name: str = "inc1", boot: str = BOOT) -> None:
        self.descriptor, announced = ProofFolder(folder, boot).begin(name)
        self.incarnation: Incarnation = incarnation(name, proof=announced)
        self.file = folder / session_register(name)

    def say_empty(self) -> None:
        os.pwrite(self.descriptor, EMPTY, 0)

    def die(self) -> None:
        os.close(self.descriptor)
        self.descriptor = -1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "alive"


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder)
    yield daemon
    if daemon.descriptor >= 0:
        os.close(daemon.descriptor)


@pytest.fixture
def observer(folder: Path) -> ProofFolder:
    return ProofFolder(folder, BOOT)


def test_who_said_empty_and_let_go_of_the_lock_is_proven_dead(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.say_empty()
    daemon.die()
    assert observer.proven(daemon.incarnation)


def test_who_holds_the_lock_is_not_proven_dead_whatever_it_said(
    daemon: Daemon, observer: ProofFolder
) -> None:
    daemon.say_empty()
    assert not observer.proven(daemon.incarnation)


@pytest.mark.parametrize("content", [b"", b"emp", b"empty?", b"EMPTY", b"not empty", b"\0empty"])
def test_who_was_killed_before_it_said_empty_is_not_proven_dead(
    daemon: Daemon, observer: ProofFolder, content: bytes
) -> None:
    os.pwrite(daemon.descriptor, content, 0)
    daemon.die()
    assert not observer.proven(daemon.incarnation)


def test_a_file_of_another_identity_proves_nothing(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.die()
    daemon.file.rename(daemon.file.with_name("kept"))
    daemon.file.write_bytes(EMPTY)
    assert not observer.proven(daemon.incarnation)


def test_both_device_and_inode_count(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.say_empty()
    daemon.die()
    announced = daemon.incarnation.proof
    assert announced is not None
    others = [dataclasses.replace(announced, device=1), dataclasses.replace(announced, inode=1)]
    dead = [observer.proven(dataclasses.replace(daemon.incarnation, proof=other)) for other in others]
    assert dead == [False, False]


def test_a_missing_file_proves_nothing(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.say_empty()
    daemon.die()
    daemon.file.unlink()
    assert not observer.proven(daemon.incarnation)


def test_another_boot_proves_nothing(daemon: Daemon, folder: Path) -> None:
    daemon.say_empty()
    daemon.die()
    assert not ProofFolder(folder, "boot-2").proven(daemon.incarnation)


def test_without_a_boot_id_nothing_is_proven(folder: Path) -> None:
    daemon = Daemon(folder, boot="")
    daemon.say_empty()
    daemon.die()
    assert not ProofFolder(folder, "").proven(daemon.incarnation)


def test_who_announced_nothing_is_not_proven_dead(observer: ProofFolder) -> None:
    assert not observer.proven(incarnation())


def test_where_proof_is_switched_off_nothing_is_proven(daemon: Daemon) -> None:
    daemon.say_empty()
    daemon.die()
    assert not NoProof().proven(daemon.incarnation)


def test_looking_does_not_take_the_proof_away(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.say_empty()
    daemon.die()
    assert [observer.proven(daemon.incarnation) for _ in range(3)] == [True] * 3


def test_a_lock_that_the_supervisor_shares_holds_when_the_daemon_is_gone(
    daemon: Daemon, observer: ProofFolder
) -> None:
    supervisor = os.dup(daemon.descriptor)
    daemon.say_empty()
    daemon.die()
    held = observer.proven(daemon.incarnation)
    os.close(supervisor)
    assert (held, observer.proven(daemon.incarnation)) == (False, True)


def test_no_program_that_is_started_inherits_the_lock(daemon: Daemon) -> None:
    assert not os.get_inheritable(daemon.descriptor)


def test_what_is_announced_is_the_file_itself(daemon: Daemon) -> None:
    status = daemon.file.stat()
    assert daemon.incarnation.proof == Proof(boot=BOOT, device=status.st_dev, inode=status.st_ino)


def test_a_sweep_removes_what_nobody_live_or_held_left(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.die()
    observer.sweep(live=[])
    assert not daemon.file.exists()


def test_a_sweep_leaves_the_file_of_one_that_is_not_buried_yet(daemon: Daemon, observer: ProofFolder) -> None:
    daemon.say_empty()
    daemon.die()
    observer.sweep(live=["inc1"])
    assert observer.proven(daemon.incarnation)


def test_a_sweep_leaves_a_file_that_was_just_made_by_one_about_to_join(
    daemon: Daemon, observer: ProofFolder
) -> None:
    observer.sweep(live=[])
    daemon.say_empty()
    daemon.die()
    assert observer.proven(daemon.incarnation)


def test_a_file_is_locked_before_it_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    rename = Path.rename

    def swept_meanwhile(path: Path, target: Path) -> Path:
        ProofFolder(folder, BOOT).sweep(live=[])
        seen.append(path.exists())
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", swept_meanwhile)
    daemon = Daemon(folder)
    ProofFolder(folder, BOOT).sweep(live=[])
    assert (seen, daemon.file.exists()) == ([True], True)
    daemon.die()


def test_a_sweep_leaves_a_file_that_is_still_being_made(folder: Path, observer: ProofFolder) -> None:
    folder.mkdir()
    unlocked_yet = folder / f".{session_register('inc1')}"
    unlocked_yet.touch()
    observer.sweep(live=[])
    assert unlocked_yet.exists()


def test_a_sweep_of_a_folder_that_is_not_there_is_no_error(folder: Path) -> None:
    ProofFolder(folder, BOOT).sweep(live=[])


def test_a_sweep_is_not_stopped_by_what_is_no_file(
    daemon: Daemon, observer: ProofFolder, folder: Path
) -> None:
    (folder / "a-folder").mkdir()
    daemon.die()
    observer.sweep(live=[])
    assert [path.name for path in folder.iterdir()] == ["a-folder"]


def test_one_that_left_cleanly_takes_its_file_with_it(daemon: Daemon, observer: ProofFolder) -> None:
    observer.remove("inc1")
    observer.remove("inc1")
    assert not daemon.file.exists()


def test_a_boot_id_stays_the_same() -> None:
    assert boot_id() == boot_id()
