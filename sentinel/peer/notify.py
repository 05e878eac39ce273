"""Telling a service manager how the daemon is, by systemd's notification protocol (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends state lines to the socket that the service manager named, if it named one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace, which the kernel writes as a NUL byte.
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def tell(self, *lines: str) -> None:
        """Send e.g. ``READY=1`` and ``STATUS=…``; silently nothing without a manager."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return

    @staticmethod
    def forget(environ: os._Environ[str]) -> None:
        """Keep the socket from children: only this process speaks for the service."""
        environ.pop("NOTIFY_SOCKET", None)
        environ.pop("WATCHDOG_USEC", None)
        environ.pop("WATCHDOG_PID", None)
