"""The wire shape of the main calls, pinned: what is sent, field by field, and that such answers are read.

The recordings need no emulator. `SENTINEL_RECORD=1` makes them anew through the proxy; look at the
difference before it is committed. Races and faults are never tried on recordings.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vcr
from vcr.cassette import Cassette

from sentinel.github.api import Api, Options, connect
from sentinel.github.credential import credential
from sentinel.github.git import GitData
from sentinel.github.opening import make_branch
from sentinel.github.place import locate
from sentinel.github.shared import Shared
from sentinel.github.store import ApiStore
from sentinel.store.base import ABSENT, DELETE, Committed
from sentinel.store.opener import StoreOptions
from sentinel.testing.clock import ManualClock
from sentinel.testing.workbench import landed, transaction
from tests.github.conftest import UNLIMITED
from tests.github.emulator import token

FOLDER = Path(__file__).parent / "cassettes"
RECORD = os.environ.get("SENTINEL_RECORD") == "1"
API = "https://api.github.com"
#: Of what is sent, these headers are pinned; of what comes back, these are kept.
_SENT = {"accept", "content-type", "if-none-match", "user-agent", "x-github-api-version"}
_KEPT = {"content-type", "date", "etag", "link"}
_LOOPBACK = re.compile(rb"http://(?:127\.0\.0\.1|localhost):\d+")


def _request(request: Any, port: int | None) -> Any:
    if port is not None and request.host != "api.github.com" and request.port != port:
        # While recording, what the proxy itself asks the emulator.
        return None
    request.uri = _LOOPBACK.sub(API.encode(), request.uri.encode()).decode()
    for name in list(request.headers):
        if name.lower() not in _SENT:
            del request.headers[name]
    return request


def _response(response: Any) -> Any:
    headers = {name.lower(): value for name, value in response["headers"].items()}
    response["headers"] = {name: headers[name] for name in sorted(_KEPT & headers.keys())}
    body = response["body"]["string"]
    response["body"]["string"] = _LOOPBACK.sub(API.encode(), body) if isinstance(body, bytes) else body
    return response


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The recording of this test's name."""
    name = request.node.name.removeprefix("test_")
    port = request.getfixturevalue("proxy").port if RECORD else None
    recorder = vcr.VCR(
        record_mode="all" if RECORD else "none",
        # What was recorded before and is not asked any more does not stay.
        drop_unused_requests=RECORD,
        match_on=["method", "scheme", "host", "port", "path", "query", "body", "headers"],
        before_record_request=lambda sent: _request(sent, port),
        serializer="json",
        before_record_response=_response,
        decode_compressed_response=True,
    )
    with recorder.use_cassette(str(FOLDER / f"{name}.json")) as cassette:
        yield cassette
    if not RECORD:
        assert cassette.all_played


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A client of github.com as it was recorded; while recording, of the proxy."""
    environ = {"GITHUB_TOKEN": token("robot")}
    if RECORD:
        environ["GITHUB_API_URL"] = request.getfixturevalue("proxy").url
    place = locate("github+api://acme/fleet", environ)
    clock = ManualClock()
    shared = Shared(place.api_url, credential(environ), clock, UNLIMITED)
    api = connect(place, Options(environ=environ, clock=clock, rng=random.Random(1), shared=shared))
    yield api
    api.close()


def test_the_life_of_a_store(recording: Cassette, api: Api, tmp_path: Path) -> None:
    make_branch(GitData(api), api.place, "worker-1", clock=ManualClock(), rng=random.Random(2))
    options = StoreOptions(actor="worker-1", state_folder=tmp_path)
    store = ApiStore(api, options, clock=ManualClock(), rng=random.Random(3))
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}, "submit a (work)", "tx-1"))
    assert store.read().get("tasks/a") == {"format": 1, "n": 1}
    first = store.publish("ab", {"seq": 1}, ABSENT)
    assert isinstance(first, Committed)
    second = store.publish("ab", {"seq": 2}, first.revision)
    assert isinstance(second, Committed)
    assert store.published()["ab"].document == {"format": 1, "seq": 2}
    assert store.publish("ab", DELETE, second.revision) == Committed("")
    (name,) = store.keep([b"a log\n"])
    assert store.kept(name) == b"a log\n"
    assert [entry.notes for entry in store.audit(5)] == [
        ("submit a (work)",),
        ("make the fleet by worker-1",),
    ]


def test_what_another_peer_did(recording: Cassette, api: Api, tmp_path: Path) -> None:
    make_branch(GitData(api), api.place, "worker-1", clock=ManualClock(), rng=random.Random(2))
    mine, other = (
        ApiStore(
            api,
            StoreOptions(actor=f"worker-{number}", state_folder=tmp_path / f"{number}"),
            clock=ManualClock(),
            rng=random.Random(number),
        )
        for number in (1, 2)
    )
    landed(other, transaction({"tasks/a": ABSENT}, {"tasks/a": {"n": 1}}, "submit a (work)", "tx-1"))
    landed(mine, transaction({"tasks/b": ABSENT}, {"tasks/b": {"n": 2}}, "submit b (work)", "tx-2"))
    assert sorted(mine.read().list("tasks/")) == ["tasks/a", "tasks/b"]


def test_an_issue_and_its_comment(recording: Cassette, api: Api) -> None:
    issues = f"{api.place.path}/issues"
    number = api.send("POST", issues, {"title": "one", "body": "text"}, content=True).body["number"]
    comments = f"{issues}/{number}/comments"
    comment = api.send("POST", comments, {"body": "first"}, content=True).body["id"]
    api.send("PATCH", f"{issues}/comments/{comment}", {"body": "second"})
    assert [item["body"] for item in api.pages(comments)] == ["second"]
    assert api.get(f"{issues}/{number}").body["state"] == "open"
    assert api.get(f"{issues}/{number}").cached


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_no_recording_holds_a_token_b11(file: Path) -> None:
    text = file.read_text("utf-8")
    for interaction in json.loads(text)["interactions"]:
        assert {name.lower() for name in interaction["request"]["headers"]} <= _SENT
    assert not re.search(r"gh[pousr]_|github_pat_|[Bb]earer |127\.0\.0\.1", text)
