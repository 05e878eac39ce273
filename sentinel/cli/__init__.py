"""The command line: click and, on a terminal, rich. `main` is the whole of it; commands load when used."""

from __future__ import annotations

from sentinel.cli.app import main

__all__ = ["main"]
