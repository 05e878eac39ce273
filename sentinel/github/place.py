"""Which repository on which GitHub a store URL means."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from sentinel.errors import BadInput

#: The environment's names for another GitHub than github.com; Actions sets both.
API_URL = "GITHUB_API_URL"
SERVER_URL = "GITHUB_SERVER_URL"

_PUBLIC_API = "https://api.github.com"
_PUBLIC_SERVER = "https://github.com"
_SCHEMES = ("github", "github+api")
#: An Enterprise Managed User's name has an underscore.
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,99})")
_REPO = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A repository on github.com, GitHub Enterprise, or what speaks like them."""

    owner: str
    repo: str
    #: Where the API is, such as ``https://api.github.com``; no slash at its end.
    api_url: str
    #: Where git and people go, such as ``https://github.com``; no slash at its end.
    server_url: str
    #: What the user wrote, for messages and remedies.
    store: str
    #: The variable that says on which GitHub it is; empty for github.com.
    named_by: str = ""

    @property
    def host(self) -> str:
        """``github.com``, or ``host:port`` of another server."""
        return urlsplit(self.server_url).netloc

    @property
    def remedy(self) -> str:
        """What to do where the API does not answer as GitHub's does."""
        if not self.named_by:
            return "check the network, and try again"
        return f"check {self.named_by}, which names it, and the network"

    @property
    def full_name(self) -> str:
        """``owner/repo``."""
        return f"{self.owner}/{self.repo}"

    def blob_page(self, commit: str, path: str) -> str:
        """Where people read a file of a commit, whose path needs no quoting."""
        return f"{self.server_url}/{self.full_name}/blob/{commit}/{path}"

    @property
    def path(self) -> str:
        """Where everything of the repository is in the API, relative to `api_url`."""
        return f"repos/{self.owner}/{self.repo}"


def locate(store: str, environ: Mapping[str, str]) -> Place:
    """The repository that ``github://owner/repo`` or ``github+api://owner/repo`` names.

    ``GITHUB_API_URL`` and ``GITHUB_SERVER_URL`` say on which GitHub it is; one of them is enough. Raises
    `BadInput` for a URL that names no repository, and for such a variable that is no web address.
    """
    scheme, mark, rest = store.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise BadInput(f"{store!r} is no store URL of GitHub; write github://OWNER/REPO")
    if "@" in rest:
        raise BadInput(
            f"the {scheme}:// URL holds a user or token, which would end up in logs; leave it out, put the "
            "token into a file, and name that file in SENTINEL_TOKEN_FILE"
        )
    owner, _, repo = rest.removesuffix("/").partition("/")
    repo = repo.removesuffix(".git")
    if not _OWNER.fullmatch(owner) or not _REPO.fullmatch(repo) or set(repo) == {"."}:
        raise BadInput(f"{store[:200]!a} names no repository of GitHub; write {scheme}://OWNER/REPO")
    api_url, server_url = _urls(environ)
    named_by = next((name for name in (API_URL, SERVER_URL) if environ.get(name, "").strip()), "")
    return Place(
        owner=owner, repo=repo, api_url=api_url, server_url=server_url, store=store, named_by=named_by
    )


def check(store: str) -> None:
    """Raises `BadInput` for a URL that names no repository."""
    locate(store, {})


def _urls(environ: Mapping[str, str]) -> tuple[str, str]:
    api, server = _web_address(environ, API_URL), _web_address(environ, SERVER_URL)
    if api and server:
        return api, server
    if api:
        return api, _server_of(api)
    if server:
        return _api_of(server), server
    return _PUBLIC_API, _PUBLIC_SERVER


def _web_address(environ: Mapping[str, str], name: str) -> str:
    url = environ.get(name, "").strip().rstrip("/")
    parts = urlsplit(url)
    bad = parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment
    if url and (bad or "@" in parts.netloc):
        raise BadInput(f"{name} is no web address; write https://HOST, with no user and no ? or # in it")
    return url


def _server_of(api: str) -> str:
    if api == _PUBLIC_API:
        return _PUBLIC_SERVER
    parts = urlsplit(api)
    # GitHub Enterprise Cloud with data residency; a server of one's own has the API below /api/v3.
    host = parts.netloc.removeprefix("api.") if parts.netloc.endswith(".ghe.com") else parts.netloc
    return f"{parts.scheme}://{host}{parts.path.removesuffix('/api/v3')}"


def _api_of(server: str) -> str:
    if server == _PUBLIC_SERVER:
        return _PUBLIC_API
    parts = urlsplit(server)
    if parts.netloc.endswith(".ghe.com"):
        return f"{parts.scheme}://api.{parts.netloc}"
    return f"{server}/api/v3"
