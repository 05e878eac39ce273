"""Real Git servers on loopback, started once; each test has a fresh repository on them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite(
    "sentinel.testing.conformance",
    "sentinel.testing.conformance_documents",
    "sentinel.testing.conformance_registers",
    "sentinel.testing.workbench",
)

from tests.conftest import Require  # noqa: E402 - assertions are rewritten before the import
from tests.remote import servers  # noqa: E402
from tests.remote.bench import RemoteBench  # noqa: E402
from tests.remote.proxy import Proxy, proxy  # noqa: E402

#: Whether tests that take minutes run, too.
LONG = os.environ.get("SENTINEL_LONG") == "1"

#: Makes a bench on a server: through the ``port`` of a proxy, if one is given.
MakeBench = Callable[..., RemoteBench]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the servers serve."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture
def repository(root: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where the repository of this test is, not made yet."""
    path = root / f"{abs(hash(request.node.nodeid)):x}.git"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def file_bench(repository: Path, tmp_path: Path) -> Iterator[RemoteBench]:
    """A repository on this machine, reached through git's own protocol."""
    bench = RemoteBench(repository, f"git+file://{repository}", tmp_path / "clients")
    bench.create()
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def http_server(root: Path) -> Iterator[servers.SmartHttp]:
    """A web server, open to all until a test gives it a password."""
    with servers.smart_http(root) as server:
        yield server


@pytest.fixture
def web(http_server: servers.SmartHttp) -> Iterator[servers.SmartHttp]:
    """The web server; what a test changes of it is taken back."""
    yield http_server
    http_server.password = None


@pytest.fixture
def http_proxy(web: servers.SmartHttp) -> Iterator[Proxy]:
    """A proxy to the web server."""
    with proxy(web.port) as running:
        yield running


@pytest.fixture
def make_http_bench(web: servers.SmartHttp, repository: Path, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches on the web server."""
    made: list[RemoteBench] = []

    def make(port: int | None = None, **options: object) -> RemoteBench:
        url = f"git+http://127.0.0.1:{port or web.port}/{repository.name}"
        bench = RemoteBench(repository, url, tmp_path / f"clients-{len(made)}", **options)  # type: ignore[arg-type] # a test's own
        if not made:
            bench.create()
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()


@pytest.fixture(scope="session")
def daemon_port(root: Path) -> Iterator[int]:
    """The port of a `git daemon`."""
    with servers.git_daemon(root) as port:
        yield port


@pytest.fixture
def daemon_proxy(daemon_port: int) -> Iterator[Proxy]:
    """A proxy to the `git daemon`."""
    with proxy(daemon_port) as running:
        yield running


@pytest.fixture
def make_daemon_bench(daemon_port: int, repository: Path, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches on the `git daemon`."""
    made: list[RemoteBench] = []

    def make(port: int | None = None, **options: object) -> RemoteBench:
        url = f"git+git://127.0.0.1:{port or daemon_port}/{repository.name}"
        bench = RemoteBench(repository, url, tmp_path / f"clients-{len(made)}", **options)  # type: ignore[arg-type] # a test's own
        if not made:
            bench.create()
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()


@pytest.fixture(scope="session")
def ssh_server(require: Require, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Sshd]:
    """An `sshd` of our own."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    program = shutil.which("sshd", path=path)
    require("sshd", program is not None, "no sshd here; install openssh-server")
    assert program is not None
    with servers.sshd(program, tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture
def ssh_proxy(ssh_server: servers.Sshd) -> Iterator[Proxy]:
    """A proxy to the `sshd`."""
    with proxy(ssh_server.port) as running:
        yield running


@pytest.fixture
def make_ssh_bench(ssh_server: servers.Sshd, repository: Path, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches on the `sshd`."""
    made: list[RemoteBench] = []

    def make(port: int | None = None, *, multiplexed: bool = False, **options: object) -> RemoteBench:
        command = ssh_server.command(multiplexed=multiplexed)
        url = f"git+ssh://{ssh_server.user}@127.0.0.1:{port or ssh_server.port}{repository}"
        options.setdefault("environ", {"GIT_SSH_COMMAND": command})
        bench = RemoteBench(repository, url, tmp_path / f"clients-{len(made)}", **options)  # type: ignore[arg-type] # a test's own
        if not made:
            bench.create()
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.close()
