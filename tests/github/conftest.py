"""GitHub on loopback: an emulator of its API that others wrote, with a proxy before it, and git beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "sentinel.testing.conformance",
    "sentinel.testing.conformance_documents",
    "sentinel.testing.conformance_registers",
    "sentinel.testing.workbench",
)

from sentinel.github.api import Api, Limits, Options, connect  # noqa: E402 - assertions are rewritten first
from sentinel.github.credential import credential  # noqa: E402
from sentinel.github.place import Place, locate  # noqa: E402
from sentinel.github.shared import Shared  # noqa: E402
from tests.conftest import Require  # noqa: E402
from tests.github.contract import Contract  # noqa: E402
from tests.github.emulator import OWNER, REPO, USERS, Emulator, aliases, token  # noqa: E402
from tests.github.proxy import Proxy  # noqa: E402
from tests.github.proxy import proxy as running_proxy  # noqa: E402
from tests.remote import servers  # noqa: E402
from tests.remote.bench import make_repository  # noqa: E402

_SCRIPT = Path(__file__).parents[2] / "scripts" / "github-tools"

#: Limits that stop nobody: most tests are not about them.
UNLIMITED = Limits(
    points_a_minute=10**9, contents_a_minute=10**9, contents_an_hour=10**9, between_writes=0.0, at_once=10**6
)

#: Makes a client, by default as the fleet's own user and without limits of its own.
MakeApi = Callable[..., Api]


@pytest.fixture(scope="session")
def tools(require: Require) -> Path:
    """The folder of what npm installed."""
    checked = subprocess.run([str(_SCRIPT), "--check"], capture_output=True, text=True, check=False)
    found = checked.returncode == 0 and shutil.which("node") is not None
    require("github", found, "no emulator of GitHub here; run scripts/github-tools, which needs Node 20")
    return Path(checked.stdout.strip())


@pytest.fixture(scope="session")
def running_emulator(tools: Path) -> Iterator[Emulator]:
    """The emulator, started once."""
    running = Emulator(tools)
    yield running
    running.close()


@pytest.fixture
def emulator(running_emulator: Emulator) -> Emulator:
    """The emulator as it was seeded: acme/fleet, the users of `USERS`, an App."""
    running_emulator.reset()
    return running_emulator


@pytest.fixture(scope="session")
def the_proxy(running_emulator: Emulator) -> Iterator[Proxy]:
    """The proxy, started once."""
    with running_proxy(running_emulator.port, {token(login): login for login in USERS}, aliases) as running:
        yield running


@pytest.fixture(scope="session")
def contract(tools: Path) -> Contract:
    """GitHub's own description of its API."""
    return Contract(tools / "api.github.com.json")


@pytest.fixture
def proxy(the_proxy: Proxy, emulator: Emulator, contract: Contract) -> Iterator[Proxy]:
    """The proxy before the emulator; what a test changes of it is taken back.

    Whatever a test sends and is told is judged by GitHub's own description of the API.
    """
    tokens = dict(the_proxy.tokens)
    the_proxy.reset()
    the_proxy.watchers.append(contract.watch)
    yield the_proxy
    the_proxy.tokens = tokens
    the_proxy.reset()
    found, contract.violations = contract.violations, []
    assert found == []


@pytest.fixture(scope="session")
def git_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the web server for git serves."""
    return tmp_path_factory.mktemp("github")


@pytest.fixture(scope="session")
def git_web(git_root: Path) -> Iterator[servers.SmartHttp]:
    """`git http-backend` behind a web server."""
    with servers.smart_http(git_root) as server:
        yield server


@pytest.fixture
def github_git(git_web: servers.SmartHttp, git_root: Path) -> Iterator[str]:
    """The address of a server with an empty acme/fleet, for who has the token of ``robot``."""
    path = git_root / OWNER / f"{REPO}.git"
    path.parent.mkdir(exist_ok=True)
    make_repository(path)
    git_web.password = token("robot")
    git_web.forget_counts()
    yield f"http://127.0.0.1:{git_web.port}"
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def github_environ(proxy: Proxy) -> dict[str, str]:
    """The environment of a process that signs in as ``robot``, without git."""
    return {**_clean(os.environ), "GITHUB_API_URL": proxy.url, "GITHUB_TOKEN": token("robot")}


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what a person who runs the tests may have set for a GitHub of their own."""
    ours = ("GITHUB_", "SENTINEL_GITHUB_", "SENTINEL_TOKEN_FILE")
    return {name: value for name, value in environ.items() if not name.startswith(ours)}


@pytest.fixture
def place(github_environ: dict[str, str]) -> Place:
    """acme/fleet at the proxy."""
    return locate(f"github+api://{OWNER}/{REPO}", github_environ)


@pytest.fixture
def make_api(place: Place, github_environ: dict[str, str]) -> Iterator[MakeApi]:
    """Makes clients; each has a limit, a cache and a meter of its own unless ``shared`` is given."""
    made: list[Api] = []

    def make(
        login: str | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        limits: Limits = UNLIMITED,
        **options: object,
    ) -> Api:
        given = dict(environ if environ is not None else github_environ)
        if login is not None:
            given["GITHUB_TOKEN"] = token(login)
        opts = Options(environ=given, limits=limits, **options)  # type: ignore[arg-type] # a test's own
        if opts.shared is None:
            fresh = Shared(place.api_url, credential(given), opts.clock, limits)
            opts = Options(environ=given, limits=limits, **{**options, "shared": fresh})  # type: ignore[arg-type] # as above
        api = connect(place, opts)
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: MakeApi) -> Api:
    """A client as ``robot``."""
    return make_api()
