"""How many network connections a worker has, with all that its tasks opened: a number for people."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sentinel.peer.processes import below, table

#: What `/proc/net/tcp` calls an established connection, and the columns that hold state and inode.
_ESTABLISHED = "01"
_STATE, _INODE = 3, 9


def connections(pid: int) -> int:
    """Established TCP connections of a process and everything below it, as far as they can be seen.

    A connection between two of these processes counts at both ends; one that several share counts once.
    """
    inodes = _established(pid)
    if not inodes:
        return 0
    tree = [pid, *(process.pid for process in below((pid,), table()))]
    return len({name for each in tree for name in _sockets(each)} & inodes)


def _established(pid: int) -> set[str]:
    """Inodes of the established connections in the network namespace of ``pid``."""
    found = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[_STATE] == _ESTABLISHED:
                    found.add(columns[_INODE])
    return found


def _sockets(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    found = set()
    # A process that has ended, or is another user's, has none that can be seen.
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                kind, _, rest = os.readlink(entry.path).partition(":[")  # noqa: PTH115 - a text is wanted, and a Path dear
                if kind == "socket":
                    found.add(rest.rstrip("]"))
    return found
