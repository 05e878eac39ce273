"""The built wheel is what users get: it is installed into an environment of its own and tried there.

Nothing is downloaded: the build backend comes with the dev extra, and the new environment sees the
dependencies of the running one, but not its copy of this package.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import sentinel
from tests.house.source import ROOT

_TIMEOUT = 300


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to run things in."""

    wheel: Path
    programs: Path
    folder: Path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the checkout."""
        return run(str(self.programs / argv[0]), *argv[1:], cwd=self.folder)


def run(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MYPY"))}
    return subprocess.run(
        argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")

    home = folder / "venv"
    venv.create(home, symlinks=True)
    (site,) = home.glob("lib/python*/site-packages")
    # Searched last; what .pth files are in there, our editable install among them, is not read.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    python = home / "bin" / "python"
    pip = run(
        *(sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"),
        *("--ignore-installed", "--disable-pip-version-check", str(wheel)),
        cwd=folder,
    )
    assert pip.returncode == 0, pip.stderr
    empty = folder / "empty"
    empty.mkdir()
    return Installed(wheel, home / "bin", empty)


def test_the_installed_command_says_its_version(installed: Installed) -> None:
    answer = installed.run("sentinel", "--version")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert sentinel.__version__ in answer.stdout


def test_the_module_can_be_run_like_the_command(installed: Installed) -> None:
    answer = installed.run("python", "-m", "sentinel", "--version")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert sentinel.__version__ in answer.stdout


def test_the_installed_package_is_not_the_checkout(installed: Installed) -> None:
    answer = installed.run("python", "-c", "import sentinel; print(sentinel.__file__)")
    assert Path(answer.stdout.strip()).is_relative_to(installed.programs.parent)


def test_the_wheel_holds_the_package_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    inside = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sentinel").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == inside | {"sentinel/py.typed"}


def test_every_extra_is_declared_in_the_wheel(installed: Installed) -> None:
    program = "import importlib.metadata as m; print(*m.metadata('task-sentinel').get_all('Provides-Extra'))"
    answer = installed.run("python", "-c", program)
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(answer.stdout.split()) == set(declared) == {"api", "browser", "mcp", "all", "dev"}


def test_the_types_are_what_a_user_relies_on(installed: Installed) -> None:
    program = (ROOT / "tests" / "house" / "typing_user.py").read_text(encoding="utf-8")
    judged = judge(installed, program)
    assert judged.returncode == 0, judged.stdout


def test_a_mistake_of_a_user_is_reported(installed: Installed) -> None:
    judged = judge(installed, "import sentinel\nsentinel.current_task().cancled()\n")
    assert judged.returncode == 1
    assert '"CurrentTask" has no attribute "cancled"' in judged.stdout


def judge(installed: Installed, program: str) -> subprocess.CompletedProcess[str]:
    """What a strict mypy says of a user's program: with no configuration of ours, and the wheel's types."""
    (installed.folder / "user.py").write_text(program, encoding="utf-8")
    return run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable"),
        *(
            str(installed.programs / "python"),
            "--cache-dir",
            str(installed.folder.parent / "types"),
            "user.py",
        ),
        cwd=installed.folder,
    )
