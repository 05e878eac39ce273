"""The only module that touches real randomness; everything else is handed a `random.Random`."""

from __future__ import annotations

import random


def system_random() -> random.Random:
    """Randomness from the operating system: not seedable, and safe to use after a fork."""
    return random.SystemRandom()
