"""What the demo's peers load with ``--tasks sentinel.demo.tasks``: one function, registered as a task."""

from __future__ import annotations

from typing import Any

import sentinel
from sentinel.demo.corpus import library_folder, measure_package


@sentinel.task("stdlib-metrics", timeout=1800, retries=2)
def stdlib_metrics(package: str) -> dict[str, Any]:
    """Lines, functions, classes and complexity of one top-level package of the standard library."""
    return measure_package(package, library_folder())
