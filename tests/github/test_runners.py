"""Workers on GitHub Actions: one dispatch for each, sent once, to a server that records what it gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sentinel.client.providers import ProviderFailed, Workflows
from sentinel.errors import BadInput
from sentinel.fleet.access import AccessOptions, runners

PATH = "/repos/acme/fleet/actions/workflows/sentinel-worker.yml/dispatches"


class Actions:
    """A GitHub that knows one thing: to take a dispatch."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Any, str]] = []
        self.status = 204
        actions = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                actions.got.append((self.path, body, self.headers["authorization"]))
                said = b"" if actions.status == 204 else b'{"message": "No ref found"}'
                self.send_response(actions.status)
                self.send_header("content-type", "application/json; charset=utf-8")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is said."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def workflows(self) -> Workflows:
        environ = {"GITHUB_API_URL": self.url, "GITHUB_TOKEN": "ghp_test"}
        url = "github://acme/fleet"
        options = AccessOptions(environ=environ)
        return Workflows(runners(url)(url, options, workflow="sentinel-worker.yml", ref="main"))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def actions() -> Iterator[Actions]:
    actions = Actions()
    yield actions
    actions.close()


def test_a_worker_is_one_dispatch_of_the_workflow_with_its_id(actions: Actions) -> None:
    actions.workflows().start("worker-007")
    assert actions.got == [(PATH, {"ref": "main", "inputs": {"worker_id": "worker-007"}}, "Bearer ghp_test")]


def test_a_dispatch_that_github_refuses_says_why(actions: Actions) -> None:
    actions.status = 422
    with pytest.raises(ProviderFailed, match=r"no run for worker-007: .*No ref found"):
        actions.workflows().start("worker-007")


def test_a_dispatch_without_a_clear_answer_is_not_sent_again(actions: Actions) -> None:
    actions.status = 502
    actions.workflows().start("worker-007")
    assert len(actions.got) == 1


def test_a_store_elsewhere_has_no_runners() -> None:
    with pytest.raises(BadInput, match="not on GitHub"):
        runners("./fleet.git")
