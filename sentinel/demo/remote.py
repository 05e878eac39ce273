"""The Git server of a demo whose peers share nothing but a repository on it."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sentinel.demo.smart_http import smart_http
from sentinel.store.location import locate
from sentinel.store.opener import StoreOptions
from sentinel.store.remote import RemoteStore

#: Name of the repository in the folder that is served.
REPOSITORY = "fleet.git"

#: Where a push takes the better part of a second on a busy machine, a local store's two seconds between beats
#: are too few, and the two minutes of a remote one too many for who watches.
_INTERVALS = {"SENTINEL_HEARTBEAT_INTERVAL": "4", "SENTINEL_HEARTBEAT_STALE_THRESHOLD": "20"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A Git server that runs, and how to get in."""

    #: The store's URL.
    url: str
    #: Holds the password; readable for this user alone.
    token_file: Path

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` for a peer or client of this server."""
        intervals = {} if _INTERVALS.keys() & environ.keys() else _INTERVALS
        # A proxy that the user may have is not for this machine's own address.
        own = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
        return {**environ, **intervals, **own, "SENTINEL_TOKEN_FILE": str(self.token_file)}

    def open(self, environ: Mapping[str, str], state_folder: Path) -> RemoteStore:
        """A connection for the demo itself."""
        options = StoreOptions(actor="demo", state_folder=state_folder)
        return RemoteStore(locate(self.url), options, environ=self.environment(environ))


@contextmanager
def served(folder: Path, rng: random.Random) -> Iterator[Remote]:
    """Serve the repositories below ``folder`` on loopback until the block ends.

    Other users of this machine reach the port, too, and who can push can have commands run: so only those who
    know the password, which ``rng`` gives and a file in ``folder`` holds, are let in.
    """
    password = f"{rng.getrandbits(128):032x}"
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(password + "\n")
    with smart_http(folder, password=password) as server:
        yield Remote(url=f"git+http://127.0.0.1:{server.port}/{REPOSITORY}", token_file=file)
