"""`scripts/bootstrap` on machines that lack something, and on environments that are broken.

The interpreters it meets are stand-ins that write down what they are asked, and make environments without
pip; so nothing is downloaded, and a run takes a fraction of a second.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

_TOOLS = (
    *("awk", "bash", "cat", "cksum", "comm", "cut", "df", "dirname", "env", "grep", "id", "ls"),
    *("mkdir", "mktemp", "mv", "rm", "sed", "sh", "sleep", "sort", "tail", "tee"),
)
_NEW = f"""\
#!/bin/sh
case "$*" in
    *ensurepip*) echo "$0" ;;
    *"-m venv "*)
        {sys.executable} -I -m venv --without-pip "$4" || exit
        for site in "$4"/lib/python*/site-packages; do mkdir "$site/pip"; done
        echo 'import sys; print(*sys.argv[1:], file=open(sys.prefix + "/asked", "a"))' \\
            >"$site/pip/__main__.py"
        sleep "${{SLOW:-0}}" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""
_OLD = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 3 ;; *) echo 3.9.18 ;; esac\n'
_WITHOUT_VENV = '#!/bin/sh\ncase "$*" in *ensurepip*) exit 4 ;; *) echo 3.12 ;; esac\n'
_OFFERS_3_11 = "#!/bin/sh\n[ $2 = python3.11-venv ]\n"
_NO_INDEX = "print('ERROR: No matching distribution found for click>=8.1')\nraise SystemExit(1)\n"
_SHIM = "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"


@dataclasses.dataclass(slots=True)
class Machine:
    """A checkout and the programs of a machine that has nothing else."""

    checkout: Path
    programs: Path

    def has(self, name: str, text: str = "#!/bin/sh\nexit 0\n") -> None:
        program = self.programs / name
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.checkout / "scripts" / "bootstrap", *arguments],
            env={"PATH": str(self.programs), "HOME": str(self.programs.parent), **environ},
            cwd=self.programs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environ)
        output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    @property
    def venv(self) -> Path:
        return self.checkout / ".venv"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"no {tool} on this machine"
        (programs / tool).symlink_to(found)
    checkout = tmp_path / "a checkout"
    for name in ("scripts/bootstrap", "pyproject.toml", "sentinel/__init__.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    machine = Machine(checkout, programs)
    machine.has("git")
    machine.has("apt-get")
    return machine


@pytest.fixture
def ready(machine: Machine) -> Machine:
    machine.has("python3", _NEW)
    assert machine.run().returncode == 0
    return machine


def test_the_first_run_makes_an_environment_and_installs_into_it(machine: Machine) -> None:
    machine.has("python3", _NEW)
    ran = machine.run("--extras", "dev")
    assert (ran.returncode, ran.stdout) == (0, "")
    asked = (machine.venv / "asked").read_text(encoding="utf-8").splitlines()
    assert asked[-1].endswith("--editable .[dev]")


def test_the_second_run_does_nothing_and_says_nothing(ready: Machine) -> None:
    asked = (ready.venv / "asked").read_text(encoding="utf-8")
    ran = ready.run()
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert (ready.venv / "asked").read_text(encoding="utf-8") == asked


def test_an_installed_extra_stays_when_a_run_does_not_ask_for_it(ready: Machine) -> None:
    assert ready.run("--extras", "dev").returncode == 0
    assert ready.run().stderr == ""
    (ready.checkout / "pyproject.toml").write_text("changed\n", encoding="utf-8")
    assert "task-sentinel[dev]" in ready.run().stderr


def test_a_change_of_the_version_is_installed_without_a_new_environment(ready: Machine) -> None:
    (ready.checkout / "sentinel" / "__init__.py").write_text('__version__ = "9"\n', encoding="utf-8")
    said = ready.run().stderr
    assert "installing" in said
    assert "making" not in said


@pytest.mark.parametrize("lost", ["bin/python", "lib/python*/site-packages/pip", ".bootstrap"])
def test_a_broken_environment_is_made_anew(ready: Machine, lost: str) -> None:
    (path,) = ready.venv.glob(lost)
    if lost == ".bootstrap":
        path.write_text("", encoding="utf-8")  # as an interrupted run leaves it
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    ran = ready.run()
    assert ran.returncode == 0
    assert "making .venv" in ran.stderr
    assert ready.run().stderr == ""


def test_an_environment_that_came_along_with_a_moved_checkout_is_made_anew(ready: Machine) -> None:
    moved = ready.checkout.rename(ready.checkout.with_name("moved"))
    assert "making .venv" in Machine(moved, ready.programs).run().stderr


def test_an_environment_that_somebody_made_by_hand_is_kept(ready: Machine) -> None:
    (ready.venv / ".bootstrap").unlink()
    (ready.venv / "mine").touch()
    # The stand-in for pip does not know --version, but runs.
    assert "making" not in ready.run().stderr
    assert (ready.venv / "mine").exists()


def test_of_two_runs_at_once_one_waits_and_finds_the_work_done(machine: Machine) -> None:
    machine.has("python3", _NEW)
    said = "".join(process.communicate(timeout=120)[1] for process in [machine.start(SLOW="1") for _ in "12"])
    assert said.count("making .venv") == 1
    assert machine.run().stderr == ""


def test_a_shim_that_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.has("python3.13", _SHIM)
    machine.has("python3.12", _OLD)
    machine.has("python3", _NEW)
    assert machine.run().returncode == 0


@pytest.mark.parametrize(
    ("programs", "line"),
    [
        ({}, "apt-get update && {sudo}apt-get install -y python3 python3-venv"),
        ({"python3.12": _WITHOUT_VENV}, "apt-get update && {sudo}apt-get install -y python3.12-venv"),
        (
            {"python3": _OLD, "apt-cache": _OFFERS_3_11},
            "python3.11 python3.11-venv",
        ),
        ({"python3": _OLD}, "pyenv install 3.12"),
    ],
)
def test_a_missing_python_is_answered_with_the_line_that_installs_it(
    machine: Machine, programs: dict[str, str], line: str
) -> None:
    for name, text in programs.items():
        machine.has(name, text)
    ran = machine.run()
    assert ran.returncode == 1
    sudo = "" if "\n    apt-get" in ran.stderr else "sudo "
    assert line.format(sudo=sudo) in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_git_is_answered_with_the_line_that_installs_it(machine: Machine) -> None:
    (machine.programs / "git").unlink()
    ran = machine.run()
    assert ran.returncode == 1
    assert "apt-get install -y git" in ran.stderr


@pytest.mark.parametrize(("manager", "line"), [("dnf", "dnf install -y git"), ("brew", "brew install git")])
def test_the_line_is_for_the_package_manager_that_is_there(machine: Machine, manager: str, line: str) -> None:
    (machine.programs / "git").unlink()
    (machine.programs / "apt-get").unlink()
    machine.has(manager)
    assert line in machine.run().stderr


def test_a_pip_that_cannot_reach_its_index_is_answered_with_what_helps(ready: Machine) -> None:
    (pip,) = ready.venv.glob("lib/python*/site-packages/pip/__main__.py")
    pip.write_text(_NO_INDEX, encoding="utf-8")
    ran = ready.run("--extras", "dev")
    assert ran.returncode == 1
    assert "No matching distribution found for click" in ran.stderr
    assert "PIP_INDEX_URL=" in ran.stderr


def test_an_unknown_argument_is_refused(machine: Machine) -> None:
    ran = machine.run("--extra", "dev")
    assert ran.returncode == 1
    assert "unknown argument --extra" in ran.stderr
