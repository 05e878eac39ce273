"""Where private files of this machine go, whatever home, permissions and other users are like."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from sentinel.folders import can_write, state_folder, store_folder


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, where there is no usable home."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_configured_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert state_folder(tmp_path / "x", {"HOME": "/nowhere"}) == tmp_path / "x"


def test_xdg_comes_before_home(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}
    assert state_folder(None, environ) == tmp_path / "xdg" / "sentinel"
    assert state_folder(None, {"HOME": str(tmp_path)}) == tmp_path / ".local" / "state" / "sentinel"


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "relative"}, {"HOME": "/dev/null"}])
def test_without_a_usable_home_it_is_a_folder_of_this_user(no_home: Path, environ: dict[str, str]) -> None:
    assert state_folder(None, environ).parent == no_home


def test_nothing_is_made_by_asking(no_home: Path) -> None:
    state_folder(None, {})
    assert list(no_home.iterdir()) == []


def test_the_folder_of_this_user_is_used_again(no_home: Path) -> None:
    folder = state_folder(None, {})
    folder.mkdir(mode=0o700)
    assert state_folder(None, {}) == folder


@pytest.mark.parametrize("trap", ["writable by others", "a link", "a file", "another's"])
def test_a_folder_that_somebody_else_prepared_is_not_used(
    no_home: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    prepared = state_folder(None, {})
    if trap == "a link":
        (no_home / "elsewhere").mkdir()
        prepared.symlink_to(no_home / "elsewhere")
    elif trap == "a file":
        prepared.write_text("")
    else:
        prepared.mkdir()
        prepared.chmod(0o777 if trap == "writable by others" else 0o755)
    if trap == "another's":
        owner = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        prepared.rename(state_folder(None, {}))
        prepared = state_folder(None, {}).with_name(f"sentinel-{owner + 1}")
    found = state_folder(None, {})
    assert found != prepared
    assert found.stat().st_mode & 0o077 == 0


def test_a_store_has_one_folder_by_whichever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        "my fleet.git",
        f"{tmp_path}/my fleet.git",
        f"file://{tmp_path}/my%20fleet.git",
        "./x/../my fleet.git",
    ]
    assert len({store_folder(tmp_path, name) for name in names}) == 1
    assert store_folder(tmp_path, "git+ssh://host/x") != store_folder(tmp_path, "git+ssh://host/y")


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert can_write(tmp_path / "new" / "deep")
    assert not can_write(tmp_path / "file")
    assert not can_write(tmp_path / "file" / "below")
