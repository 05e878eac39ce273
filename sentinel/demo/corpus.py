"""The demo's input: the standard library of the interpreter that runs, as it lies on this machine's disk.

It is on every machine that has Python, nobody here wrote it, and it is large enough to keep a fleet busy.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sentinel.demo.analysis import Module, measure_module, summarize, unreadable
from sentinel.errors import BadInput, NotFound

#: CPython's own regression tests: twice the source of all the rest, and absent from most distributions.
REGRESSION_TESTS = "test"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A top-level package or module of the library, which is what one task measures."""

    name: str
    #: (dotted module name, file), sorted by name.
    modules: tuple[tuple[str, Path], ...]
    #: Bytes of source, as an estimate of the work.
    size: int


def library_folder() -> Path:
    """Where the running interpreter's standard library lies, also when it runs in a virtual environment."""
    return Path(sysconfig.get_path("stdlib"))


def packages(folder: Path) -> tuple[Package, ...]:
    """Every top-level package and module below ``folder``, sorted by name.

    A folder counts if its name can be imported and it holds source at any depth. That leaves out
    ``site-packages``, ``dist-packages``, ``lib-dynload`` and ``config-*``, which are not the library's
    packages. Raises `NotFound` where no source is.
    """
    try:
        entries = list(folder.iterdir())
    except OSError:
        entries = []
    names = {path.stem if path.suffix == ".py" else path.name for path in entries}
    found = [package for name in sorted(names) if (package := _find(name, folder))]
    if not found:
        raise NotFound(
            f"there is no Python source in {folder}; the demo measures the standard library, so run it "
            "with a Python that has its library as .py files"
        )
    return tuple(found)


def measure_package(name: str, folder: Path) -> dict[str, Any]:
    """Read, parse, count and compile every module of the package ``name`` below ``folder``.

    The whole work of one task, and of one step of the run in a single process that it is compared with.
    Raises `BadInput` when there is no such package.
    """
    package = _find(name, folder)
    if package is None:
        raise BadInput(f"{name!r} is no top-level package or module of the standard library in {folder}")
    return summarize(name, map(_measure, package.modules))


def task_ids(names: tuple[str, ...]) -> dict[str, str]:
    """A readable task id for each package name, such as ``pydecimal`` for ``_pydecimal``.

    What would become equal is told apart by a number, in the order of ``names``.
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^a-z0-9]*([._-])[^a-z0-9]*", r"\1", re.sub(r"[^a-z0-9._-]+", "-", name.lower()))
        plain = plain.strip("._-")[:100].rstrip("._-") or "module"
        candidate, number = plain, 1
        while candidate in taken:
            number += 1
            candidate = f"{plain}-{number}"
        taken.add(candidate)
        ids[name] = candidate
    return ids


def _find(name: str, folder: Path) -> Package | None:
    if name.startswith(".") or Path(name).name != name:
        return None
    files = []
    single = folder / f"{name}.py"
    if single.is_file():
        files.append((name, single))
    # Only what has an importable name can be a package, and a cache is none.
    if name.isidentifier() and name != "__pycache__":
        files.extend((_dotted(file.relative_to(folder)), file) for file in _sources(folder / name))
    if not files:
        return None
    return Package(name=name, modules=tuple(sorted(files)), size=sum(_size(path) for _, path in files))


def _measure(module: tuple[str, Path]) -> Module:
    name, path = module
    try:
        source = path.read_bytes()
    except OSError as error:
        return unreadable(name, error)
    return measure_module(name, source)


def _sources(folder: Path) -> Iterator[Path]:
    # A folder that cannot be listed holds nothing that anybody could import from it.
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in files:
            if name.endswith(".py") and not name.startswith("."):
                yield Path(place, name)


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
