"""The environment of a task: a short list of names from the worker's own, and never its secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

_ALWAYS = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"})
#: Without these an interpreter that is not installed in the usual place does not even start.
_INTERPRETER = frozenset({"LD_LIBRARY_PATH", "PYTHONHOME"})
_TOKENS = frozenset({"GITHUB_TOKEN", "GH_TOKEN"})


def never_passed(name: str) -> bool:
    """Whether tasks must not get this variable, whoever asks: tokens of the worker, and all its settings."""
    name = name.upper()
    return name in _TOKENS or name.startswith("SENTINEL_") or (name.startswith("GITHUB_") and "TOKEN" in name)


def clean(environ: Mapping[str, str], pass_env: Iterable[str] = ()) -> dict[str, str]:
    """What a task gets of ``environ``: the basics, locale, and the names in ``pass_env``, but no secrets."""
    wanted = _ALWAYS | _INTERPRETER | set(pass_env)
    kept = {
        name: value
        for name, value in environ.items()
        if (name in wanted or name.startswith("LC_")) and not never_passed(name)
    }
    kept.setdefault("PATH", os.defpath)
    return kept
