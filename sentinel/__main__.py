"""``python -m sentinel`` is the ``sentinel`` command."""

from __future__ import annotations

from sentinel.cli import main

if __name__ == "__main__":
    main()
