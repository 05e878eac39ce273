"""Machines of their own for peers: network namespaces on one switch, with an address each, and their faults.

The switch is a bridge in a namespace that is made here, too, so nothing of this is seen outside. The first
address on it is the server's. Packets are dropped in the server's namespace, on their way in or out.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNET = 0x40000000
#: What the first line of the answer to every push over HTTP's smart protocol says.
_PUSHED = "x-git-receive-pack-result"


class Network:
    """A switch, a server's namespace on it, and one for each of ``machines``. Needs root."""

    SERVER = "10.77.0.1"

    def __init__(self, machines: tuple[str, ...]) -> None:
        mark = uuid.uuid4().hex[:6]
        self._server = f"sentinel-{mark}"
        self._space = {name: f"sentinel-{mark}-{name}" for name in machines}
        self._address = {name: f"10.77.0.{10 + number}" for number, name in enumerate(machines)}
        self._port = {name: f"to-{name}" for name in machines}

    def make(self) -> None:
        """Make it; what was made before a failure is for `remove`."""
        _run("ip", "netns", "add", self._server)
        self._at_server("ip", "link", "set", "lo", "up")
        self._at_server("ip", "link", "add", "switch", "type", "bridge")
        self._at_server("ip", "address", "add", f"{self.SERVER}/24", "dev", "switch")
        self._at_server("ip", "link", "set", "switch", "up")
        for name, space in self._space.items():
            port = self._port[name]
            _run("ip", "netns", "add", space)
            self._at_server("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            self._at_server("ip", "link", "set", port, "master", "switch", "up")
            inside = ("ip", "netns", "exec", space, "ip")
            _run(*inside, "link", "set", "lo", "up")
            _run(*inside, "address", "add", f"{self._address[name]}/24", "dev", "eth0")
            _run(*inside, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Remove every namespace, and with it all that is in it. Idempotent."""
        for space in (*self._space.values(), self._server):
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)

    def prefix(self, machine: str) -> tuple[str, ...]:
        """What a command line begins with that is to run on ``machine``."""
        return ("ip", "netns", "exec", self._space[machine])

    def listen(self) -> socket.socket:
        """A socket that listens at the server's address. Where it was made is where it stays."""
        made: list[socket.socket] = []

        def inside() -> None:
            with Path(f"/run/netns/{self._server}").open("rb") as space:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(space.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "cannot enter a network namespace")
            made.append(socket.create_server((self.SERVER, 0), backlog=64))

        # A thread of its own enters, and ends there.
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        return made[0]

    # -- faults --------------------------------------------------------------------------------------

    def cut(self, *machines: str) -> None:
        """No packet of these machines gets through, either way, and nobody is told."""
        for name in machines:
            self._rule("INPUT", "--source", self._address[name], "--jump", "DROP")
            self._rule("OUTPUT", "--destination", self._address[name], "--jump", "DROP")

    def cut_replies_to_pushes(self, machine: str) -> None:
        """The machine's requests get through, and what the server answers to a push does not."""
        match = ("--match", "string", "--algo", "bm", "--string", _PUSHED)
        self._rule("OUTPUT", "--destination", self._address[machine], *match, "--jump", "DROP")

    @property
    def dropped(self) -> int:
        """How many packets from the server the rules have dropped since `heal`."""
        listed = self._at_server("iptables", "--wait", "--list", "OUTPUT", "--verbose", "--exact")
        return sum(int(line.split()[0]) for line in listed.splitlines() if " DROP " in line)

    def refuse(self) -> None:
        """The server is down: every packet to it is answered with a reset."""
        self._rule("INPUT", "--protocol", "tcp", "--jump", "REJECT", "--reject-with", "tcp-reset")

    def slow_down(self, machine: str, rate: str) -> None:
        """All that the server sends to a machine, and gets from it, goes at ``rate``, as `tc` has it."""
        limit = ("root", "tbf", "rate", rate, "burst", "2kb", "latency", "5s")
        self._at_server("tc", "qdisc", "add", "dev", self._port[machine], *limit)
        _run(*self.prefix(machine), "tc", "qdisc", "add", "dev", "eth0", *limit)

    def heal(self) -> None:
        """Everything gets through again, as fast as it can."""
        self._at_server("iptables", "--wait", "--flush")
        for name, port in self._port.items():
            for command in (
                ["ip", "netns", "exec", self._server, "tc", "qdisc", "delete", "dev", port, "root"],
                [*self.prefix(name), "tc", "qdisc", "delete", "dev", "eth0", "root"],
            ):
                subprocess.run(command, capture_output=True, check=False)

    def _rule(self, chain: str, *rule: str) -> None:
        self._at_server("iptables", "--wait", "--insert", chain, *rule)

    def _at_server(self, *command: str) -> str:
        return _run("ip", "netns", "exec", self._server, *command)


def why_not() -> str | None:
    """Why this machine or user cannot have such a network, or None where it can."""
    missing = [name for name in ("ip", "tc", "iptables") if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} on PATH; install iproute2 and iptables"
    if os.geteuid() != 0:
        return "only root can make network namespaces with addresses"
    trial = Network(("a",))
    try:
        trial.make()
        trial.cut_replies_to_pushes("a")
        trial.refuse()
        trial.slow_down("a", "64kbit")
        trial.heal()
        trial.listen().close()
    except (RuntimeError, OSError) as error:
        return str(error)
    finally:
        trial.remove()
    return None


@contextlib.contextmanager
def network(*machines: str) -> Iterator[Network]:
    """A network of these machines, which is gone after the block."""
    made = Network(machines)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr.strip() or ran.returncode}")
    return ran.stdout
