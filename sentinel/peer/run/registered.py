"""Python functions as task types: the ``@sentinel.task`` decorator, and loading the modules that use it.

A registered function is called in a process of its own (see `sentinel.peer.run.child`), with the task's
arguments by name. What it returns, a JSON value, is the result of the task. An ``async`` function is run
by `asyncio.run`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from sentinel.errors import BadInput
from sentinel.model.ids import check_id
from sentinel.peer.run.arguments import check_names, described, nearest

F = TypeVar("F", bound=Callable[..., Any])

#: Packages announce modules that register tasks under this entry-point group.
ENTRY_POINTS = "sentinel.tasks"

_MIN_MEMORY = 16 * 1024 * 1024
#: What an annotation admits, for those that are checked.
_ADMITS: Mapping[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "a whole number"),
    float: ((float, int), "a number"),
    bool: ((bool,), "true or false"),
    list: ((list, tuple), "a list"),
    dict: ((dict,), "an object"),
    types.NoneType: ((types.NoneType,), "null"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A task type that is a Python function."""

    name: str
    function: Callable[..., Any]
    #: The module whose import registers it.
    module: str
    #: Seconds one attempt may take; None is the default.
    timeout: float | None = None
    #: Automatic retries; None is the default.
    retries: int | None = None
    #: Bytes of memory for all its processes together; None is the worker's limit.
    memory: int | None = None
    #: Whether it may run in a process in which others ran before it.
    warm: bool = True

    @property
    def description(self) -> str:
        """The first line of the function's docstring, or nothing."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def check(self, args: Mapping[str, Any], positional: Sequence[Any] = ()) -> None:
        """Raise `BadInput` unless the function can be called with these arguments.

        Unknown and missing ones are named with the nearest valid one. Types are checked where the
        annotation is one of ``str, int, float, bool, list, dict`` or an optional of these.
        """
        shape = _shape(self.function)
        by_place = shape.by_place
        if len(positional) > len(by_place) and not shape.rest:
            raise BadInput(
                f"{self.name} takes at most {len(by_place)} arguments by place, not {len(positional)}"
            )
        given = dict(zip(by_place, positional, strict=False))
        for name in given:
            if name in args:
                raise BadInput(f"{self.name} is given the argument {name!r} twice, by place and by name")
        check_names(
            self.name,
            args,
            shape.by_name | args.keys() if shape.any_name else shape.by_name,
            shape.required - given.keys(),
        )
        if not given and not args:
            return
        hints = _hints(self.function)
        for name, value in {**given, **args}.items():
            expected = _expected(hints.get(name, Any), value)
            if expected is not None:
                raise BadInput(
                    f"the argument {name!r} of {self.name} must be {expected}, not {described(value)}"
                )


_registry: dict[str, Registered] = {}
#: The module that `load` imports right now; None outside of `load`.
_loading: str | None = None


def task(
    name: str,
    *,
    timeout: float | None = None,
    retries: int | None = None,
    memory: int | None = None,
    warm: bool = True,
) -> Callable[[F], F]:
    """Register the decorated function as the task type ``name``.

    ``timeout`` in seconds per attempt (0.1 to 604800), ``retries`` (0 to 100) and ``memory`` in bytes for
    the function's whole process tree (at least 16 MiB); None leaves each to the task or the worker.
    With ``warm`` off it gets an interpreter of its own each time, instead of one that stays for the next.
    Raises `BadInput` for a bad or taken name, or a value out of its range.
    """
    check_id(name, "task type")
    if name == "shell":
        raise BadInput("the task type 'shell' is built in; choose another name")
    _check_range(name, "timeout", timeout, 0.1, 604_800)
    _check_range(name, "retries", retries, 0, 100, whole=True)
    _check_range(name, "memory", memory, _MIN_MEMORY, 1 << 50, whole=True)

    def register(function: F) -> F:
        try:
            inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise BadInput(f"the task type {name!r} needs a function with known parameters") from error
        other = _registry.get(name)
        if other is not None and _home(other.function) != _home(function):
            raise BadInput(
                f"the task type {name!r} is registered twice, by {_home(other.function)} and by "
                f"{_home(function)}; rename one"
            )
        _registry[name] = Registered(
            name=name,
            function=function,
            module=_loading or str(getattr(function, "__module__", "")),
            timeout=timeout,
            retries=retries,
            memory=memory,
            warm=warm,
        )
        return function

    return register


def registered() -> Mapping[str, Registered]:
    """The task types registered so far, by name."""
    return MappingProxyType(_registry)


def load(modules: Iterable[str], *, entry_points: bool = True) -> Mapping[str, Registered]:
    """Import ``modules`` and those that installed packages announce; all task types registered then.

    The current folder is importable too, after everything that is installed. Raises `BadInput`, in one
    sentence, for a module that is missing, fails to import, or registers nothing.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    for module in modules:
        _import(module)
        if not any(_brings(module, entry) for entry in _registry.values()):
            raise BadInput(f"the module {module} registers no task; decorate a function with @sentinel.task")
    if entry_points:
        for module in sorted(_announced()):
            _import(module)
    return registered()


def check_arguments(type: str, args: Mapping[str, Any], positional: Sequence[Any] = ()) -> None:
    """Raise `BadInput` unless the registered ``type`` exists and takes these; see `Registered.check`."""
    entry = _registry.get(type)
    if entry is None:
        raise BadInput(f"no function is registered for the task type {type!r}; {nearest(type, _registry)}")
    entry.check(args, positional)


def _import(module: str) -> None:
    if "/" in module or module.endswith(".py"):
        raise BadInput(f"{module} is a file; name the module instead, such as {Path(module).stem}")
    if not all(part.isidentifier() for part in module.split(".")):
        raise BadInput(f"{module!r} is not the name of a Python module")
    try:
        with _as_origin(module):
            importlib.import_module(module)
    except BadInput as error:
        raise BadInput(f"the module {module} cannot be loaded: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise BadInput(
                f"there is no module {module}, neither installed nor in {Path.cwd()}; "
                "start the worker in the folder that holds it, or set PYTHONPATH"
            ) from error
        missing = f"it needs {error.name}, which is not installed"
        raise BadInput(f"the module {module} cannot be loaded: {missing}") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BadInput(f"the module {module} cannot be loaded: {reason}") from error


@contextmanager
def _as_origin(module: str) -> Iterator[None]:
    # What a loaded module imports in turn belongs to it: importing it again brings all of that back.
    global _loading
    outer, _loading = _loading, module
    try:
        yield
    finally:
        _loading = outer


def _announced() -> set[str]:
    from importlib.metadata import entry_points  # costs 20 ms, which a task's own process need not pay

    return {entry.module for entry in entry_points(group=ENTRY_POINTS)}


def _brings(module: str, entry: Registered) -> bool:
    home = getattr(entry.function, "__module__", "")
    return entry.module == module or home == module or home.startswith(f"{module}.")


def _home(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", repr(function))
    return f"{getattr(function, '__module__', '')}.{name}"


def _check_range(
    name: str, what: str, value: float | None, least: float, most: float, *, whole: bool = False
) -> None:
    if value is None:
        return
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        number = "a whole number" if whole else "a number"
        raise BadInput(f"{what} of the task type {name!r} must be {number} from {least:g} to {most:g}")


@dataclass(frozen=True, slots=True)
class _Shape:
    """With which arguments a function can be called."""

    #: Names of what can be given by place, in order.
    by_place: tuple[str, ...]
    #: Whether more can be.
    rest: bool
    by_name: frozenset[str]
    #: Whether any other name can be given.
    any_name: bool
    required: frozenset[str]


@functools.lru_cache(maxsize=1024)
def _shape(function: Callable[..., Any]) -> _Shape:
    parameters = inspect.signature(function).parameters.values()
    kinds = {p.kind for p in parameters}
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return _Shape(
        by_place=tuple(p.name for p in parameters if p.kind in placed),
        rest=inspect.Parameter.VAR_POSITIONAL in kinds,
        by_name=frozenset(p.name for p in named if p.kind is not p.POSITIONAL_ONLY),
        any_name=inspect.Parameter.VAR_KEYWORD in kinds,
        required=frozenset(p.name for p in named if p.default is p.empty),
    )


@functools.lru_cache(maxsize=1024)
def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # noqa: BLE001 - an annotation may name what only type checkers import
        return {}


def _expected(annotation: Any, value: object) -> str | None:
    """What ``annotation`` asks for, in words, when ``value`` is something else; None when it may pass."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        refusals = [_expected(member, value) for member in typing.get_args(annotation)]
        return None if None in refusals else " or ".join(r for r in refusals if r)
    admitted = _ADMITS.get(origin or annotation)
    if admitted is None:
        return None
    kinds, words = admitted
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    return None if fits else words
