"""The client of GitHub's API: PyGithub sends; our own rules say when, how often, and what an answer means.

Reads are conditional, and tried again. A mutation is sent once: whether it took effect is for the caller to
find out, by its transaction id or marker, before anything is sent again. PyGithub's own repetitions send
POST, PUT and DELETE again after a 5xx, and its spacing of writes knows one thread; both are off.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import github
import requests
import tenacity

from sentinel.clock import Clock, SystemClock
from sentinel.entropy import system_random
from sentinel.errors import OutcomeUnknown, StoreError, Unavailable
from sentinel.github.answers import Answer, lacking, next_page, pause_after, until_reset
from sentinel.github.cache import Kept
from sentinel.github.credential import checked, credential, fingerprint
from sentinel.github.errors import Declined, Limited, Missing, Unauthorised
from sentinel.github.limiter import READ, Limits, Turn
from sentinel.github.meter import Meter
from sentinel.github.place import Place
from sentinel.github.shared import HEADERS, PER_PAGE, Shared, requester_of, shared

__all__ = ["Api", "Limits", "Options", "Reply", "connect"]

#: Tries of one read.
_TRIES = 4
#: Seconds over which those come back who wait for an hour to begin anew.
_AFTER_RESET = 30.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 8.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """GitHub's answer."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    #: The parsed JSON, the caller's own copy; None where there is none.
    body: Any
    #: Whether GitHub said "not modified", and so did not charge for it.
    cached: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to reach GitHub."""

    #: Seconds that one exchange may take, and for which a read is tried, waiting for limits included.
    timeout: float = 15.0
    #: Where the credentials are named.
    environ: Mapping[str, str] = dataclasses.field(default_factory=lambda: os.environ, repr=False)
    limits: Limits = dataclasses.field(default_factory=Limits)
    clock: Clock = dataclasses.field(default_factory=SystemClock)
    rng: random.Random = dataclasses.field(default_factory=system_random)
    #: Instead of what all clients of the credential in this process share; for tests.
    shared: Shared | None = None


def connect(place: Place, options: Options | None = None) -> Api:
    """A client for one thread. Nothing is sent yet. Raises `Unauthorised` when there are no credentials."""
    return Api(place, options if options is not None else Options())


class _Held(github.Auth.Auth):
    """The token of the request that is being sent."""

    current = ""

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def token(self) -> str:
        return self.current


class Api:
    """One thread's client of the API at a `Place`.

    Paths are relative to the API, such as ``repos/o/r/issues``; what is in them is quoted already.
    """

    def __init__(self, place: Place, options: Options) -> None:
        self.place = place
        self._options = options
        self._clock = options.clock
        self._shared = options.shared or shared(
            place.api_url, credential(options.environ), options.clock, options.limits
        )
        self._auth = _Held()
        self._requester = requester_of(place.api_url, self._auth, options.timeout)

    @property
    def meter(self) -> Meter:
        """What was sent for this credential by the whole process."""
        return self._shared.meter

    @property
    def described(self) -> str:
        """Where the credentials come from; never a value."""
        return self._shared.credential.described

    def token(self) -> str:
        """The token that a request would carry now, for git. Raises `Unauthorised` or `Unavailable`."""
        return checked(self._shared.token(self._options.timeout), self.described)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._requester.close()

    # -- reading --------------------------------------------------------------------------------------

    def get(self, path: str, params: Mapping[str, str | int] | None = None, *, keep: bool = True) -> Reply:
        """Read; conditional where the same was read before, and tried again while that makes sense.

        Without ``keep`` the answer is not kept: for what will not be asked for again. Raises `Missing`,
        `Limited`, `Unauthorised`, `Declined` or `Unavailable`.
        """
        url = _url(path, params)
        limit = self._clock.now() + self._options.timeout
        reply: Reply = self._retrying(limit)(self._get, url, path, limit, keep)
        return reply

    def pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """The items of a list over all its pages; each page is a `get`. Raises what that raises."""
        for reply in self._paged(path, params):
            if not isinstance(reply.body, list):
                raise Unavailable(f"GitHub answered GET {path} with something else than a list")
            yield from reply.body

    def pages_of(self, path: str, field: str, params: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """The same for a list that is a field of an object."""
        for reply in self._paged(path, params):
            items = reply.body.get(field) if isinstance(reply.body, dict) else None
            if not isinstance(items, list):
                raise Unavailable(f"GitHub answered GET {path} without a list of {field}")
            yield from items

    def _paged(self, path: str, params: Mapping[str, str | int] | None) -> Iterator[Reply]:
        wanted: Mapping[str, str | int] | None = {"per_page": PER_PAGE, **(params or {})}
        while wanted is not None:
            reply = self.get(path, wanted)
            yield reply
            link = next_page(reply.headers.get("link", ""))
            # Only what it asks for counts: another host than ours would be given the token.
            wanted = None if link is None else dict(parse_qsl(urlsplit(link).query))

    def _retrying(self, limit: float) -> tenacity.Retrying:
        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            if isinstance(error, Limited):
                return error.retry_after
            most = min(_FIRST_PAUSE * 2 ** (state.attempt_number - 1), _LONGEST_PAUSE)
            return self._options.rng.uniform(0.0, most)

        def worthwhile(error: BaseException) -> bool:
            if isinstance(error, Limited):
                return self._clock.now() + error.retry_after <= limit
            return (
                isinstance(error, Unavailable)
                and not isinstance(error, Unauthorised)
                and self._clock.now() < limit
            )

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(worthwhile),
            wait=pause,
            stop=tenacity.stop_after_attempt(_TRIES),
            sleep=self._clock.sleep,
            reraise=True,
        )

    def _get(self, url: str, path: str, limit: float, keep: bool) -> Reply:
        token = self.token()
        owner = fingerprint(token)
        kept = self._shared.cache.get(owner, url)
        headers = {} if kept is None else {"If-None-Match": kept.etag}
        answer = self._exchange("GET", url, token, headers, None, READ, limit)
        if answer.meaning == "unchanged" and kept is not None:
            body = Answer(status=kept.status, headers=kept.headers, text=kept.text).body
            # What is said about limits and dates is new; where the next page is, is not.
            return Reply(kept.status, {**answer.headers, **_lasting(kept.headers)}, body, cached=True)
        if answer.meaning == "unauthorised" and answer.status == 401 and self._shared.forget_token(token):
            token = self.token()
            answer = self._exchange("GET", url, token, {}, None, READ, limit)
        reply = self._judged(answer, "GET", path)
        etag = answer.headers.get("etag", "")
        if keep and etag and answer.status == 200:
            self._shared.cache.put(
                fingerprint(token), url, Kept(etag, answer.status, answer.headers, answer.text)
            )
        return reply

    # -- writing --------------------------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: bool = False,
        urgent: bool = False,
    ) -> Reply:
        """Send a mutation, once. With ``content`` it counts as creating content (an issue, a comment).

        An ``urgent`` one goes before those that wait for their turn: it is for beats. Raises
        `OutcomeUnknown` when it may have taken effect and there is no clear answer; `Limited`,
        `Unauthorised` or `Unavailable` when it certainly did not; `Missing` or `Declined` when GitHub
        refused it.
        """
        token = self.token()
        limit = self._clock.now() + self._options.timeout
        turn = Turn(write=True, content=content, urgent=urgent)
        answer = self._exchange(method, _url(path, None), token, {}, body, turn, limit)
        if answer.status == 401:
            # For the next call: nothing is sent again here.
            self._shared.forget_token(token)
        return self._judged(answer, method, path)

    # -- both -----------------------------------------------------------------------------------------

    def _exchange(
        self,
        method: str,
        url: str,
        token: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
        turn: Turn,
        limit: float,
    ) -> Answer:
        meter, limiter = self._shared.meter, self._shared.limiter
        self._auth.current = token
        given = {**HEADERS, **headers}
        with limiter.request(turn, patience=limit - self._clock.now()):
            meter.sent(write=turn.write, content=turn.content)
            try:
                status, answered, text = self._requester.requestJson(method, url, None, given, body)
            except (requests.RequestException, RuntimeError, ValueError, OSError) as error:
                raise self._broken(error, method, url) from None
            finally:
                self._auth.current = ""
        answer = Answer(status=status, headers=answered, text=text)
        self._take_in(answer)
        return answer

    def _take_in(self, answer: Answer) -> None:
        """Learn from an answer what GitHub will take next."""
        shared_, wall = self._shared, self._clock.wall()
        meaning = answer.meaning
        shared_.meter.answered(cached=meaning == "unchanged", limited=meaning == "limited")
        if answer.headers.get("x-ratelimit-resource", "core") == "core":
            reset_in = until_reset(answer.headers, wall=wall)
            shared_.meter.told(answer.headers, reset_in=reset_in, now=self._clock.now())
            if meaning != "limited" and answer.headers.get("x-ratelimit-remaining") == "0" and reset_in:
                # All who use this token wait for the same moment, and are not to begin in the same one.
                wait = reset_in + self._options.rng.uniform(0.0, _AFTER_RESET)
                shared_.limiter.exhausted("the requests of this hour are used up", wait)
        if meaning == "limited":
            return
        if meaning != "failed":
            shared_.limiter.accepted()

    def _judged(self, answer: Answer, method: str, path: str) -> Reply:
        meaning = answer.meaning
        if meaning == "done":
            return Reply(answer.status, answer.headers, answer.body)
        raise self._error(answer, method, path)

    def _error(self, answer: Answer, method: str, path: str) -> StoreError:
        what = f"{method} {path}"
        said = f": {answer.reason}" if answer.reason else ""
        meaning = answer.meaning
        if meaning == "limited":
            why = f"GitHub's rate limit refused {what}{said}"
            seconds = self._shared.limiter.refused(why, pause_after(answer, wall=self._clock.wall()))
            return Limited(f"{why}; again in {seconds:.0f} s", seconds)
        if meaning == "unauthorised":
            return Unauthorised(self._refusal(answer, what, said), status=answer.status)
        if meaning == "missing":
            hint = " (or it is not shown to these credentials)" if answer.status == 404 else ""
            return Missing(f"GitHub has nothing at {path}{hint}{said}", path)
        if meaning == "declined":
            return Declined(f"GitHub refused {what} ({answer.status}){said}", answer.status, answer.reason)
        kind = "no JSON" if answer.status < 400 else str(answer.status)
        text = f"{what} was answered with {kind} by {self.place.api_url} or by something on the way{said}"
        if method == "GET":
            return Unavailable(f"{text}; {self.place.remedy}" if answer.status < 500 else text)
        return OutcomeUnknown(f"{text}; it may have been done")

    def _refusal(self, answer: Answer, what: str, said: str) -> str:
        if answer.status == 401:
            return (
                f"GitHub does not accept {self.described}{said}; it may be revoked or have expired: put a "
                "new one in its place"
            )
        need = lacking(answer.headers)
        return f"GitHub does not let {self.described} do {what}{said}" + (f"; {need}" if need else "")

    def _broken(self, error: Exception, method: str, url: str) -> StoreError:
        """The error for an exchange that ended without an answer. The cause's own text may hold a header."""
        what = f"{method} {urlsplit(url).path.lstrip('/')}"
        name = type(error).__name__
        if method == "GET" or _never_sent(error):
            return Unavailable(
                f"{self.place.api_url} cannot be reached for {what} ({name}); {self.place.remedy}"
            )
        return OutcomeUnknown(f"{what} got no answer ({name}); it may have been done")


def _never_sent(error: BaseException) -> bool:
    """Whether a request certainly did not reach anybody."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(
            seen, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.InvalidURL
        ):
            return True
        if type(seen).__name__ in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError"):
            return True
        if (
            isinstance(seen, requests.ConnectionError)
            and seen.args
            and isinstance(seen.args[0], BaseException)
        ):
            seen = getattr(seen.args[0], "reason", None) or seen.args[0]
        else:
            seen = None
    return False


def _url(path: str, params: Mapping[str, str | int] | None) -> str:
    url = "/" + path.lstrip("/")
    return f"{url}?{urlencode(sorted((params or {}).items()))}" if params else url


def _lasting(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("link", "content-type") if name in headers}
