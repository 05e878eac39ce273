"""Git over HTTPS with a certificate that only those trust who were told to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.errors import Unavailable
from sentinel.store.base import ABSENT
from sentinel.testing.workbench import landed, transaction
from tests.conftest import Require
from tests.remote import servers
from tests.remote.bench import RemoteBench


@pytest.fixture(autouse=True)
def nothing_else_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's user trusts does not count."""
    for name in ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def certificate(require: Require, tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody signed but its own key, which is beside it."""
    require("openssl", shutil.which("openssl") is not None, "no openssl on PATH")
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"]
    command += ["ec_paramgen_curve:prime256v1"]
    command += ["-days", "2", "-subj", "/CN=fleet", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return tmp_path / "certificate.pem"


@pytest.fixture
def port(root: Path, certificate: Path) -> Iterator[int]:
    """Where a web server speaks TLS."""
    with servers.smart_http(root) as server:
        server.encrypt(certificate, certificate.with_name("key.pem"))
        yield server.port


def make_bench(port: int, repository: Path, tmp_path: Path, **environ: str) -> RemoteBench:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    url = f"git+https://127.0.0.1:{port}/{repository.name}"
    bench = RemoteBench(repository, url, tmp_path / "clients", environ={"HOME": str(home), **environ})
    bench.create()
    return bench


def test_a_certificate_in_the_users_git_configuration_is_trusted(
    port: int, repository: Path, tmp_path: Path, certificate: Path
) -> None:
    bench = make_bench(port, repository, tmp_path)
    (tmp_path / "home" / ".gitconfig").write_text(f"[http]\n\tsslCAInfo = {certificate}\n")
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    bench.close()


def test_a_certificate_in_the_environment_is_trusted(
    port: int, repository: Path, tmp_path: Path, certificate: Path
) -> None:
    bench = make_bench(port, repository, tmp_path, GIT_SSL_CAINFO=str(certificate))
    landed(bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    bench.close()


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_remedy(
    port: int, repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="GIT_SSL_CAINFO"):
        make_bench(port, repository, tmp_path).open()
