"""What the credentials are, what they may do, and what is left of their limits; nothing is changed.

Permissions to write are tried by requests that GitHub must refuse: who may not write is told so, and who may
is told that the request is incomplete. So each is really tried, and leaves nothing behind.
"""

from __future__ import annotations

import email.utils
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from sentinel.errors import NotAStore, OutcomeUnknown, SentinelError, StoreError, Unavailable
from sentinel.fleet.access import AccessOptions, Limit
from sentinel.github.api import Api, Options, Reply, connect
from sentinel.github.budget import Allowance
from sentinel.github.errors import Declined, Limited, Missing, Unauthorised
from sentinel.github.place import Place, locate
from sentinel.model.check import Check
from sentinel.store.opener import StoreOptions, open_store

_CONFIGURATION, _STORE = 78, 5
#: Seconds by which a clock may be off before it is said: an App's signature lasts one minute, and turns are
#: spread by it.
_CLOCK_OFF = 20.0
#: Part of an hour's requests below which it is said.
_SCARCE = 0.2

#: What a token begins with → what it is.
_TOKENS = {
    "ghp_": "a personal access token (classic)",
    "github_pat_": "a fine-grained personal access token",
    "gho_": "a token of an OAuth app",
    "ghu_": "a token of a user through a GitHub App",
    "ghs_": "a token of an installation of a GitHub App",
}
_READ_WRITE = "give the token read and write access to it, or the scope `repo` if it is a classic one"


def examine(url: str, options: AccessOptions) -> Iterator[Check]:
    """See `sentinel.fleet.access.Examine`. A later check is left out when it needs a failed one."""
    place = locate(url, options.environ)
    try:
        api = _connect(place, options)
        token = api.token()
    except Unauthorised as error:
        yield _failed("credentials", error, _CONFIGURATION)
        return
    except Unavailable as error:
        yield _failed("credentials", error, _STORE)
        return
    try:
        kind = next((kind for start, kind in _TOKENS.items() if token.startswith(start)), "a token")
        yield Check(name="credentials", message=f"{kind}, from {api.described}")
        yield from _tried(api, place, options)
    finally:
        api.close()
    yield from _git(url, place, options)


def _tried(api: Api, place: Place, options: AccessOptions) -> Iterator[Check]:
    try:
        sent = options.clock.wall()
        reply = api.get("rate_limit")
        wall = (sent + options.clock.wall()) / 2
    except StoreError as error:
        yield _failed("API", error, _STORE)
        return
    yield Check(name="API", message=f"{place.api_url} answers")
    yield _clock(reply, wall)
    yield _budget(reply, options.clock.wall())
    yield _scopes(reply, api)
    try:
        repository = api.get(place.path).body
    except StoreError as error:
        yield _failed("repository", error, _STORE)
        return
    yield from _repository(place, repository)
    yield from _permissions(api, place, repository)


def _clock(reply: Reply, wall: float) -> Check:
    try:
        theirs = email.utils.parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return Check(name="clock", level="warn", message="GitHub did not say what time it is")
    # Their time has no fractions.
    off = wall - theirs - 0.5
    said = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} GitHub's"
    if abs(off) <= _CLOCK_OFF:
        return Check(name="clock", message=f"this machine's is {said}")
    return Check(
        name="clock",
        level="warn",
        message=f"this machine's is {said}: an App's signature is refused, and its turns fall on others'",
        fix="synchronise it, e.g. with `timedatectl set-ntp true`",
    )


def _budget(reply: Reply, wall: float) -> Check:
    core = _core(reply.body, wall)
    if core is None or core.used is None:
        return Check(name="rate limit", message="none is told, as on servers where it is off")
    left = core.allowed - core.used
    minutes = (core.resets_in or 0.0) / 60
    message = f"{left:g} of {core.allowed:g} requests are left, for {minutes:.0f} minutes"
    if left >= _SCARCE * core.allowed:
        return Check(name="rate limit", message=message)
    fix = "see what else uses this token; a token or App of its own has an hour of its own"
    return Check(name="rate limit", level="warn", message=message, fix=fix)


def _scopes(reply: Reply, api: Api) -> Check:
    told = reply.headers.get("x-oauth-scopes")
    if told is None:
        return Check(name="scopes", message=f"{api.described} has permissions instead; they are tried below")
    scopes = {scope.strip() for scope in told.split(",")} - {""}
    if scopes & {"repo", "public_repo"}:
        return Check(name="scopes", message=", ".join(sorted(scopes)))
    return Check(
        name="scopes",
        level="warn",
        message=f"{', '.join(sorted(scopes)) or 'none'}: without `repo`",
        fix="make a token with the scope `repo`, or `public_repo` for public repositories alone",
    )


def _repository(place: Place, repository: Any) -> Iterator[Check]:
    found: Mapping[str, Any] = repository if isinstance(repository, dict) else {}
    visible = "private" if found.get("private") else "public"
    branch = found.get("default_branch") or "unknown"
    message = f"{place.full_name} is {visible}; its default branch is {branch}"
    yield Check(name="repository", message=message)
    if found.get("archived"):
        fix = "bring it back from the archive in its settings"
        yield Check(name="archive", level="fail", message="it is archived", fix=fix, status=_STORE)
    if found.get("has_issues") is False:
        fix = "switch issues on in its settings, if tasks are to come from them"
        yield Check(name="issues", level="warn", message="they are switched off", fix=fix)


def _permissions(api: Api, place: Place, repository: Any) -> Iterator[Check]:
    path = place.path
    yield _read("contents: read", lambda: api.get(f"{path}/git/matching-refs/heads/sentinel/state"))
    yield _write("contents: write", lambda: api.send("POST", f"{path}/git/refs", {"ref": "", "sha": ""}))
    yield _read("issues: read", lambda: api.get(f"{path}/issues", {"state": "all", "per_page": 1}))
    yield _write("issues: write", lambda: api.send("POST", f"{path}/labels", {"name": ""}))
    login = _somebody(api, repository)
    if login is not None:
        who = f"{path}/collaborators/{quote(login, safe='')}/permission"
        yield _read("members: read", lambda: api.get(who))


def _somebody(api: Api, repository: Any) -> str | None:
    """The login of a person whose permission can be asked for: our own, or the owner's; None without any."""
    owner = repository.get("owner") if isinstance(repository, dict) else None
    try:
        user = api.get("user").body
    except StoreError:
        # An App is nobody.
        user = owner if isinstance(owner, dict) and owner.get("type") == "User" else None
    login = user.get("login") if isinstance(user, dict) else None
    return login if isinstance(login, str) else None


def _read(name: str, ask: Callable[[], object]) -> Check:
    try:
        ask()
    except Declined as error:
        # An empty repository has no refs, and says so with 409.
        if error.status == 409:
            return Check(name=name, message="allowed")
        return _failed(name, error, _STORE)
    except (Unauthorised, Missing) as error:
        return _lacking(name, error)
    except StoreError as error:
        return _failed(name, error, _STORE)
    return Check(name=name, message="allowed")


def _write(name: str, ask: Callable[[], object]) -> Check:
    try:
        ask()
    except Declined:
        return Check(name=name, message="allowed")
    except (Unauthorised, Missing) as error:
        return _lacking(name, error)
    except (Limited, OutcomeUnknown, StoreError) as error:
        return _failed(name, error, _STORE)
    return Check(name=name, level="warn", message="GitHub took a request that it should refuse")


def _lacking(name: str, error: StoreError) -> Check:
    if name.startswith("members"):
        # Only needed to judge who opened an issue.
        fix = "allow people by their numeric ids instead, or give the token access that members have"
        return Check(name=name, level="warn", message=f"not allowed: {error}", fix=fix)
    return Check(name=name, level="fail", message=f"not allowed: {error}", fix=_READ_WRITE, status=_STORE)


def _git(url: str, place: Place, options: AccessOptions) -> Iterator[Check]:
    if url.startswith("github+api:"):
        return
    try:
        open_store(url, StoreOptions(timeout=options.timeout)).close()
    except NotAStore as error:
        fix = f"run `sentinel init --store {url}`"
        yield Check(name="git", level="warn", message=f"{place.server_url} can be reached; {error}", fix=fix)
    except SentinelError as error:
        yield _failed("git", error, _STORE)
    else:
        yield Check(name="git", message=f"the fleet at {place.server_url}/{place.full_name} can be read")


def _failed(name: str, error: Exception, status: int) -> Check:
    message, _, fix = str(error).partition("; ")
    return Check(name=name, level="fail", message=message, fix=fix or None, status=status)


def limits(url: str, options: AccessOptions) -> list[Limit]:
    """See `sentinel.fleet.access.Limits`."""
    place = locate(url, options.environ)
    api = _connect(place, options)
    try:
        body = api.get("rate_limit").body
    finally:
        api.close()
    published = Allowance()
    core = _core(body, options.clock.wall())
    unknown = Limit(name="requests", unit="requests an hour", allowed=published.requests_an_hour)
    found = [core or unknown]
    for name, unit, allowed in (
        ("points", "points a minute (a read 1, a write 5)", published.points_a_minute),
        ("content", "issues, comments and their like an hour", published.contents_an_hour),
        ("content", "issues, comments and their like a minute", published.contents_a_minute),
        ("pushes", "pushes a minute to the repository", published.pushes_a_minute),
        ("git reads", "reads of the repository by git a second", published.reads_a_second),
    ):
        found.append(Limit(name=name, unit=unit, allowed=allowed))
    return found


def _core(body: Any, wall: float) -> Limit | None:
    """The hour of requests in an answer to ``rate_limit``."""
    resources = body.get("resources") if isinstance(body, dict) else None
    core = resources.get("core") if isinstance(resources, dict) else None
    if not isinstance(core, dict):
        return None
    values = {name: core.get(name) for name in ("limit", "remaining", "reset")}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    return Limit(
        name="requests",
        unit="requests an hour",
        allowed=float(core["limit"]),
        used=float(core["limit"] - core["remaining"]),
        resets_in=max(0.0, core["reset"] - wall),
        told=True,
    )


def _connect(place: Place, options: AccessOptions) -> Api:
    return connect(place, Options(timeout=options.timeout, environ=options.environ, clock=options.clock))
