"""What GitHub has and the emulator has not: ETags, limits, faults, tokens that are wrong; and a meter.

The emulator's known differences are put right on the way: a missing ref is 422 for PATCH and DELETE, URLs of
refs say ``git/refs/``, a token that it does not know is 401, and the labels that an issue was opened with are
told of in its events.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import json
import re
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

from tests.github import comments
from tests.github.allowance import CONTENT, Account, Allowances, Call, Ledger, ProxyClock
from tests.github.faults import AFTER, Fault, Plan

#: Tokens that the emulator knows for each user; it gives each 5,000 requests an hour.
ALIASES = 40
_USES = 4_000
_PAGE = b"<!DOCTYPE html><html><body><h1>Whoa there!</h1></body></html>"
_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "date"}
_REF = re.compile(r"/repos/[^/]+/[^/]+/git/refs/")
_EVENTS = re.compile(r"/repos/[^/]+/[^/]+/issues/\d+/events")


class Exchange:
    """A request, and the emulator's answer to it, for those who look on."""

    def __init__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.status = 0
        self.answer_headers: dict[str, str] = {}
        self.answer = b""


class Proxy:
    """Listens on a port of its own and passes on to the emulator at ``port``."""

    def __init__(self, port: int, tokens: Mapping[str, str], aliases: Callable[[str], list[str]]) -> None:
        self._target = port
        #: Token → login. A test may revoke one by taking it out.
        self.tokens = dict(tokens)
        self._aliases = aliases
        self._uses: dict[str, int] = {}
        self.clock = ProxyClock()
        self.allowed = Allowances()
        #: Whether the limits are kept, or only metered.
        self.strict = True
        self.ledger = Ledger()
        #: Called with each exchange that reached the emulator.
        self.watchers: list[Callable[[Exchange], None]] = []
        #: Called before a request is passed on.
        self.arriving: Callable[[], None] = lambda: None
        self.plans: list[Plan] = []
        self._accounts: dict[str, Account] = {}
        self._stale: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self._fresh: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.lock = threading.Lock()
        #: The emulator looks where a ref is before it reads the body of the request that moves it, so two
        #: that arrive together are both fast-forwards to it. GitHub moves a ref under a lock, and so do we.
        self._moving = threading.Lock()
        self.closing = threading.Event()
        self._server = _Server(self)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What ``GITHUB_API_URL`` is set to."""
        return f"http://127.0.0.1:{self.port}"

    def fail(
        self, fault: Fault, where: str = "", *, times: int | None = 1, retry_after: int = 1, after: int = 0
    ) -> Plan:
        """Let ``fault`` happen to the next ``times`` requests that are like ``METHOD /path?query``."""
        plan = Plan(fault, re.compile(where), times, retry_after, after)
        with self.lock:
            self.plans.append(plan)
        return plan

    def heal(self) -> None:
        """No more faults."""
        with self.lock:
            self.plans.clear()

    def reset(self) -> None:
        """As at the beginning, but for the port."""
        self.heal()
        self.ledger.clear()
        self.watchers.clear()
        self.arriving = lambda: None
        with self.lock:
            self._accounts.clear()
            self._stale.clear()
            self._fresh.clear()
            self.allowed = Allowances()
            self.strict = True
            self.clock = ProxyClock()

    def close(self) -> None:
        """Listen no more."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    # -- one request -----------------------------------------------------------------------------------

    def take(self, line: str) -> Plan | None:
        """The fault that a request meets, if any."""
        with self.lock:
            for plan in self.plans:
                if plan.times == 0 or not plan.where.search(line):
                    continue
                if plan.after:
                    plan.after -= 1
                    continue
                if plan.times is not None:
                    plan.times -= 1
                return plan
        return None

    def account(self, token: str) -> Account:
        """The account of a token; guarded by `lock`."""
        return self._accounts.setdefault(token, Account())

    def alias(self, token: str) -> str:
        """What the emulator knows a token as."""
        login = self.tokens.get(token)
        if login is None:
            return token
        with self.lock:
            self._uses[login] = used = self._uses.get(login, -1) + 1
        names = self._aliases(login)
        # The last one is kept for calls past the proxy.
        return names[used // _USES % (len(names) - 1)]

    def knows(self, token: str) -> bool:
        """Whether a token, or what an App sends, is accepted."""
        return token in self.tokens or token.startswith(("eyJ", "ghs_"))

    def remember(self, url: str, answer: tuple[int, dict[str, str], bytes]) -> None:
        """Keep what a URL showed before, for stale reads."""
        with self.lock:
            before = self._fresh.get(url)
            if before is not None and before[2] != answer[2]:
                self._stale[url] = before
            self._fresh[url] = answer

    def stale(self, url: str) -> tuple[int, dict[str, str], bytes] | None:
        """What a URL showed before its last change that was seen here."""
        with self.lock:
            return self._stale.get(url) or self._fresh.get(url)

    def pass_on(self, exchange: Exchange) -> None:
        """Ask the emulator; its answer goes into ``exchange``, put right where it differs from GitHub's."""
        headers = {
            name: value
            for name, value in exchange.headers.items()
            if name not in _HOPS and name not in ("host", "if-none-match", "accept-encoding")
        }
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if token:
            headers["authorization"] = f"{scheme} {self.alias(token)}"
        self.arriving()
        if exchange.method != "GET" and "/git/refs" in exchange.path:
            with self._moving:
                self._ask(exchange, headers)
        elif exchange.method != "GET" or not self._list_comments(exchange, headers):
            self._ask(exchange, headers)
        self._put_right(exchange)
        for watcher in list(self.watchers):
            watcher(exchange)

    def _ask(self, exchange: Exchange, headers: Mapping[str, str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=60)
        try:
            connection.request(exchange.method, exchange.path, exchange.body or None, dict(headers))
            answer = connection.getresponse()
            exchange.answer = answer.read()
        finally:
            connection.close()
        exchange.status = answer.status
        exchange.answer_headers = {
            name.lower(): value for name, value in answer.getheaders() if name.lower() not in _HOPS
        }

    def _list_comments(self, exchange: Exchange, headers: Mapping[str, str]) -> bool:
        token = exchange.headers.get("authorization", "").partition(" ")[2]

        def ask(path: str) -> Any:
            asked = Exchange("GET", path, headers, b"")
            self._ask(asked, {**headers, "authorization": f"Bearer {self.alias(token)}"})
            return json.loads(asked.answer)

        found = comments.listing(exchange.path, self.url, ask)
        if found is not None:
            exchange.status = 200
            exchange.answer_headers, exchange.answer = found
        return found is not None

    def _put_right(self, exchange: Exchange) -> None:
        method, path = exchange.method, urllib.parse.urlsplit(exchange.path).path
        if method in ("PATCH", "DELETE") and exchange.status == 404 and _REF.match(path):
            exchange.status = 422
            exchange.answer = _json("Reference does not exist")
        if method == "GET" and exchange.status == 200 and _EVENTS.fullmatch(path):
            exchange.answer = _with_first_labels(exchange.answer)
        exchange.answer = exchange.answer.replace(b"/git/ref/", b"/git/refs/")
        exchange.answer = re.sub(rb"http://localhost:%d" % self._target, self.url.encode(), exchange.answer)
        link = exchange.answer_headers.get("link")
        if link:
            exchange.answer_headers["link"] = link.replace(f"http://localhost:{self._target}", self.url)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _handle(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        token = headers.get("authorization", "").partition(" ")[2]
        exchange = Exchange(self.command, self.path, headers, body)
        write = self.command not in ("GET", "HEAD")
        path = urllib.parse.urlsplit(self.path).path
        content = self.command == "POST" and path.endswith(CONTENT)
        record = _Record(proxy, self.command, self.path, token, write=write, content=content)
        plan = proxy.take(f"{self.command} {self.path}")
        now = proxy.clock.now()
        if not proxy.knows(token):
            self._answer(record, 401, {}, _json("Bad credentials"))
            return
        if path == "/rate_limit":
            # Free of charge, and answered when nothing else is.
            record.charged = False
            with proxy.lock:
                told = proxy.account(token).told(now, proxy.allowed)
            self._answer(record, 200, {"Content-Type": "application/json"}, json.dumps(told).encode())
            return
        with proxy.lock:
            account = proxy.account(token)
            verdict = account.begin(now, proxy.allowed, write=write, content=content)
            if not proxy.strict:
                verdict = None
            account.under_way += 1
        try:
            if plan is not None and plan.fault not in AFTER:
                self._fail_before(record, plan, account)
            elif verdict is not None:
                self._refuse(record, verdict, account)
            else:
                proxy.pass_on(exchange)
                record.passed_on = True
                self._reply(record, exchange, plan, account, token)
        finally:
            with proxy.lock:
                account.under_way -= 1

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class names them so

    def _reply(
        self, record: _Record, exchange: Exchange, plan: Plan | None, account: Account, token: str
    ) -> None:
        proxy = self.server.proxy
        fault = None if plan is None else plan.fault
        status, headers, answer = exchange.status, dict(exchange.answer_headers), exchange.answer
        if exchange.method == "GET" and status == 200:
            proxy.remember(exchange.path, (status, headers, answer))
            if fault is Fault.STALE:
                status, headers, answer = proxy.stale(exchange.path) or (status, headers, answer)
                headers = dict(headers)
            etag = 'W/"' + hashlib.sha256(token.encode() + answer).hexdigest() + '"'
            headers["etag"] = etag
            if exchange.headers.get("if-none-match") == etag:
                with proxy.lock:
                    account.give_back()
                record.charged = False
                self._answer(record, 304, {**headers, **self._limits(account)}, b"")
                return
        headers |= self._limits(account)
        if exchange.path.startswith("/repos/") and "x-oauth-scopes" not in headers:
            headers["x-oauth-scopes"] = "repo"
        if fault in (Fault.RESET_AFTER, Fault.SILENT_AFTER):
            self._hang_or_reset(record, hang=fault is Fault.SILENT_AFTER)
        elif fault is Fault.BAD_GATEWAY_AFTER:
            self._answer(record, 502, {"content-type": "text/html"}, _PAGE)
        elif fault is Fault.HTML_AFTER:
            self._answer(record, 200, {"content-type": "text/html"}, _PAGE)
        elif fault is Fault.TORN:
            self._answer(record, status, headers, answer[: len(answer) // 2])
        elif fault is Fault.TRUNCATED:
            self._answer(record, status, headers, answer, cut=True)
        else:
            self._answer(record, status, headers, answer)

    def _fail_before(self, record: _Record, plan: Plan, account: Account) -> None:
        fault = plan.fault
        limits = self._limits(account)
        slow = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        after = {"retry-after": str(plan.retry_after)}
        if fault in (Fault.RESET_BEFORE, Fault.BLACK_HOLE):
            self._hang_or_reset(record, hang=fault is Fault.BLACK_HOLE)
        elif fault is Fault.BAD_GATEWAY_BEFORE:
            self._answer(record, 502, {"content-type": "text/html"}, _PAGE)
        elif fault is Fault.UNAVAILABLE:
            self._answer(record, 503, limits, _json("Service unavailable"))
        elif fault is Fault.HTML:
            self._answer(record, 200, {"content-type": "text/html"}, _PAGE)
        elif fault in (Fault.SECONDARY, Fault.SECONDARY_RETRY_AFTER):
            self._answer(record, 403, limits | (after if fault is not Fault.SECONDARY else {}), _json(slow))
        elif fault in (Fault.TOO_MANY, Fault.TOO_MANY_BARE):
            self._answer(record, 429, limits | (after if fault is Fault.TOO_MANY else {}), _json(slow))
        elif fault is Fault.PRIMARY:
            reset = int(self.server.proxy.clock.now()) + plan.retry_after
            used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
            self._answer(record, 403, limits | used_up, _json("API rate limit exceeded for user ID 1."))
        elif fault is Fault.UNAUTHORISED:
            self._answer(record, 401, {}, _json("Bad credentials"))
        elif fault is Fault.LACKS_PERMISSION:
            need = {"X-Accepted-GitHub-Permissions": "contents=write; contents=write,workflows=write"}
            words = "Resource not accessible by personal access token"
            self._answer(record, 403, limits | need, _json(words))
        else:
            need = {"X-Accepted-OAuth-Scopes": "repo", "X-OAuth-Scopes": "read:org"}
            self._answer(record, 403, limits | need, _json("Must have push access to repository."))

    def _refuse(self, record: _Record, verdict: str, account: Account) -> None:
        headers, allowed = self._limits(account), self.server.proxy.allowed
        if verdict == "primary":
            self._answer(record, 403, headers, _json("API rate limit exceeded for user ID 1."))
            return
        if allowed.retry_after is not None:
            headers["retry-after"] = str(allowed.retry_after)
        self._answer(record, 403, headers, _json("You have exceeded a secondary rate limit."))

    def _limits(self, account: Account) -> dict[str, str]:
        with self.server.proxy.lock:
            return account.headers(self.server.proxy.allowed)

    def _hang_or_reset(self, record: _Record, *, hang: bool) -> None:
        record.write(None)
        if hang:
            self.server.proxy.closing.wait(60)
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _answer(
        self, record: _Record, status: int, headers: Mapping[str, str], content: bytes, *, cut: bool = False
    ) -> None:
        record.write(status)
        given = {name.lower(): value for name, value in headers.items()}
        given.setdefault("content-type", "application/json; charset=utf-8")
        with contextlib.suppress(OSError):
            self.send_response_only(status)
            self.send_header("Date", formatdate(self.server.proxy.clock.now(), usegmt=True))
            for name, value in given.items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.wfile.flush()
        if cut:
            self.close_connection = True


class _Record:
    """The line of the ledger that a request becomes."""

    def __init__(
        self, proxy: Proxy, method: str, path: str, token: str, *, write: bool, content: bool
    ) -> None:
        self._proxy = proxy
        self._method, self._path, self._token = method, path, token
        self._points = 5 if write else 1
        self._content = content
        self.charged = True
        self.passed_on = False

    def write(self, status: int | None) -> None:
        """Note how it ended."""
        call = Call(
            method=self._method,
            path=self._path,
            token=self._token,
            status=status,
            charged=self.charged,
            points=self._points,
            content=self._content,
            at=self._proxy.clock.now(),
            passed_on=self.passed_on,
        )
        self._proxy.ledger.add(call)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = proxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what some of the tests are about."""


def _with_first_labels(answer: bytes) -> bytes:
    """Events as GitHub lists them: it has none for the opening, and one for each label that came with it."""
    events: list[dict[str, Any]] = []
    listed = json.loads(answer)
    later = {event["label"]["name"] for event in listed if event["event"] == "labeled"}
    for event in listed:
        if event["event"] == "opened":
            names = [label for label in event["issue"]["labels"] if label["name"] not in later]
            labels = [{"name": label["name"], "color": label["color"]} for label in names]
            events += [{**event, "event": "labeled", "label": label} for label in labels]
        else:
            events.append(event)
    return json.dumps(events).encode()


def _json(message: str) -> bytes:
    body: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    return json.dumps(body).encode()


@contextlib.contextmanager
def proxy(port: int, tokens: Mapping[str, str], aliases: Callable[[str], list[str]]) -> Iterator[Proxy]:
    """A proxy to the emulator at ``port``."""
    running = Proxy(port, tokens, aliases)
    try:
        yield running
    finally:
        running.close()
