"""Which package may import which: the one import rule of the design, lazy imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.house.source import Source, Violation, forbid, python_sources

#: May be imported by everybody; they import nothing of ours.
EVERYBODY = frozenset({"errors", "clock", "entropy"})

_BELOW_CLIENT = frozenset({"model", "store", "fleet", "settings", "folders"})
_PEER = frozenset({"model", "store", "fleet", "peer", "peer.run"})
_INTERFACE = _BELOW_CLIENT | _PEER | {"", "client", "peer.service"}

#: Layer → the layers it may import, beside itself and EVERYBODY. A layer is the longest match of a
#: module's name below `sentinel`; "" is `sentinel/__init__.py`, the public face.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "clock": frozenset(),
    "entropy": frozenset(),
    "model": frozenset(),
    "store": frozenset({"model"}),
    "fleet": frozenset({"model", "store"}),
    "settings": frozenset({"model"}),
    "folders": frozenset(),  # where this machine's files are: for those who know the environment
    "client": _BELOW_CLIENT,
    "peer": _PEER,
    "peer.service": _PEER | {"settings", "folders"},
    "peer.run": frozenset({"model"}),
    "github": frozenset({"model", "store", "fleet"}),
    "": _BELOW_CLIENT | {"client", "peer.run"},
    "cli": _INTERFACE | {"demo"},
    "api": _INTERFACE,
    "demo": _INTERFACE,
    "testing": _INTERFACE | {"github"},
    "__main__": frozenset({"cli"}),
}


def layer_of(module: str) -> str | None:
    """The layer of a dotted name in ``sentinel``, None for a place that the table does not know."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in ALLOWED:
            return name
    return None


def imported_modules(source: Source, modules: frozenset[str]) -> Iterator[tuple[ast.AST, str]]:
    """Every module of ours that ``source`` imports anywhere, by statement or `import_module("...")`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                # Alone, `import sentinel` imports what is then reached through it.
                if item.name != "sentinel" or item.asname:
                    yield node, item.name
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "sentinel" and not _is_fact(node.attr):
                inner = f"sentinel.{node.attr}"
                yield node, inner if inner in modules else "sentinel"
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(source, node)
            for item in node.names:
                inner = f"{base}.{item.name}"
                if inner in modules:
                    yield node, inner
                elif base != "sentinel" or not _is_fact(item.name):
                    yield node, base
        elif isinstance(node, ast.Call) and _names_a_module(node):
            yield node, str(ast.literal_eval(node.args[0]))


def _names_a_module(call: ast.Call) -> bool:
    """``import_module("...")`` and its like; a name that is put together at run time cannot be judged."""
    function = ast.unparse(call.func).rpartition(".")[2]
    return (
        function in {"import_module", "__import__"}
        and bool(call.args)
        and isinstance(call.args[0], ast.Constant)
    )


def _is_fact(name: str) -> bool:
    """``__version__`` and ``__file__`` of the package are facts, no dependency on what it offers."""
    return name.startswith("__")


def _absolute(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.module.split(".")
    keep = len(parts) - node.level + (1 if source.is_package else 0)
    return ".".join([*parts[:keep], *([node.module] if node.module else [])])


def violations(sources: Iterable[Source]) -> Iterator[Violation]:
    sources = list(sources)
    modules = frozenset(source.module for source in sources)
    for source in sources:
        layer = layer_of(source.module)
        if layer is None:
            yield source.violation(source.tree, f"{source.module} is in no layer: add it to ALLOWED")
            continue
        allowed = ALLOWED[layer] | EVERYBODY | {layer}
        for node, name in imported_modules(source, modules):
            if name.partition(".")[0] != "sentinel":
                continue
            target = layer_of(name)
            if target is None or target not in allowed:
                yield source.violation(node, f"{layer or 'sentinel'} may not import {name}")


def test_every_import_points_down_the_layers() -> None:
    forbid(violations(python_sources("sentinel")))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sentinel/model/task.py", "from sentinel.store import base"),
        ("sentinel/model/task.py", "def f():\n    import sentinel.fleet.tasks"),
        ("sentinel/store/local.py", "from ..fleet import tasks"),
        ("sentinel/store/opener.py", "import sentinel.github.store"),
        ("sentinel/store/opener.py", "importlib.import_module('sentinel.github.store')"),
        ("sentinel/fleet/failover.py", "from sentinel.settings import Settings"),
        ("sentinel/peer/run/child.py", "from sentinel.peer import supervisor"),
        ("sentinel/peer/run/child.py", "from sentinel.store.base import Store"),
        ("sentinel/peer/reaper.py", "from sentinel.settings import Settings"),
        ("sentinel/cli/tasks.py", "from sentinel import api"),
        ("sentinel/api/app.py", "from sentinel.cli import main"),
        ("sentinel/demo/report.py", "from sentinel.cli import main"),
        ("sentinel/testing/simulator.py", "from sentinel.demo import run"),
        ("sentinel/client.py", "from sentinel.testing import simulator"),
        ("sentinel/clock.py", "from sentinel.model import ids"),
        ("sentinel/fleet/tasks.py", "from sentinel import Client"),
        ("sentinel/fleet/tasks.py", "import sentinel\nsentinel.Client(url)"),
        ("sentinel/elsewhere.py", "import os"),
        ("sentinel/model/task.py", "if TYPE_CHECKING:\n    from sentinel.store.base import Store"),
    ],
)
def test_an_import_against_the_layers_is_found(path: str, text: str) -> None:
    known = [Source(f"sentinel/{name}/__init__.py", "") for name in ("store", "fleet", "api", "cli", "demo")]
    assert len(list(violations([*known, Source(path, text)]))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sentinel/store/local.py", "from ..model import codec\nfrom .base import Store\nimport pygit2"),
        ("sentinel/peer/service.py", "from sentinel.settings import Settings"),
        ("sentinel/cli/worker.py", "def start():\n    from sentinel.peer.service import Service"),
        ("sentinel/model/worker.py", "from sentinel import __version__, errors"),
        ("sentinel/peer/overseer.py", "import sentinel\nprint(sentinel.__file__, sentinel.model.codec)"),
    ],
)
def test_an_import_along_the_layers_is_not_reported(path: str, text: str) -> None:
    known = [Source(f"sentinel/{name}.py", "") for name in ("errors", "model/__init__", "model/codec")]
    forbid(violations([*known, Source(path, text)]))
