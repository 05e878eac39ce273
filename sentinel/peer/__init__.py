"""One daemon of the fleet, and the small processes outside it that can end its tasks without it.

Linux only: ending every descendant of a task rests on child subreapers and ``/proc``.
"""
