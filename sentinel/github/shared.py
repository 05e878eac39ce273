"""What all clients of one credential in this process have in common: limit, cache, meter and token."""

from __future__ import annotations

import threading

import github
import requests
from github.Requester import Requester

from sentinel.clock import Clock, from_rfc3339
from sentinel.errors import Unavailable
from sentinel.github.answers import Answer, pause_after
from sentinel.github.cache import EtagCache
from sentinel.github.credential import Credential
from sentinel.github.errors import Limited, NoCredentials, Unauthorised
from sentinel.github.limiter import Limiter, Limits
from sentinel.github.meter import Meter

#: Says who we are, as GitHub wants it.
USER_AGENT = "task-sentinel"
#: With every request. The version of the API is the one that we were written for; GitHub supports each for
#: two years at least.
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
PER_PAGE = 100
#: Seconds before its end from which on the token of an App is no longer used.
_EARLY = 300.0


class Shared:
    """One credential's dealings with one GitHub. Shared by threads."""

    def __init__(self, api_url: str, credential: Credential, clock: Clock, limits: Limits) -> None:
        self.credential = credential
        self.limiter = Limiter(clock, limits)
        self.cache = EtagCache()
        self.meter = Meter()
        self._api_url = api_url
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._token_until = float("-inf")

    def token(self, timeout: float) -> str:
        """The token to send now; for an App, one of its installation, which lasts an hour.

        Raises `Unauthorised` when there is none to be had, and `Unavailable` when GitHub cannot be asked.
        """
        if self.credential.kind != "app":
            return self.credential.token()
        with self._lock:
            if self._clock.now() >= self._token_until:
                self._token, lasts = self._exchange(timeout)
                self._token_until = self._clock.now() + lasts - _EARLY
            return self._token

    def forget_token(self, token: str) -> bool:
        """``token`` was refused; whether another one may be had by asking again."""
        if self.credential.kind == "app":
            with self._lock:
                if self._token == token:
                    self._token_until = float("-inf")
            return True
        return self.credential.kind == "token file" and self.credential.token() != token

    def _exchange(self, timeout: float) -> tuple[str, float]:
        """A new token of the App's installation, and the seconds that it lasts."""
        described = self.credential.described
        app = github.Auth.AppAuth(self.credential.app_id, self.credential.private_key() or "none")
        try:
            app.create_jwt()
        except Exception as error:  # noqa: BLE001 - the library that signs has errors of its own, which may show the key
            raise NoCredentials(
                f"{described} has no private key that can be used ({type(error).__name__})"
            ) from None
        self.meter.sent(write=True, content=False)
        requester = requester_of(self._api_url, app, timeout)
        try:
            path = f"/app/installations/{self.credential.installation_id}/access_tokens"
            status, headers, text = requester.requestJson("POST", path, None, dict(HEADERS))
        except (requests.RequestException, RuntimeError, ValueError, OSError) as error:
            raise Unavailable(
                f"{self._api_url} cannot be reached for a token ({type(error).__name__}); check the network, "
                "and GITHUB_API_URL if that is not where GitHub's API is"
            ) from None
        finally:
            requester.close()
        answer = Answer(status=status, headers=headers, text=text)
        if answer.meaning in ("unauthorised", "missing"):
            raise Unauthorised(
                f"GitHub gives no token to {described} ({status}); check the App's id, the id of its "
                "installation and the private key"
            )
        if answer.meaning == "limited":
            why = f"GitHub's rate limit refused a token to {described}"
            seconds = self.limiter.refused(why, pause_after(answer, wall=self._clock.wall()))
            raise Limited(f"{why}; again in {seconds:.0f} s", seconds)
        try:
            lasts = from_rfc3339(answer.body["expires_at"]) - self._clock.wall()
            return str(answer.body["token"]), min(max(lasts, _EARLY), 3600.0)
        except (KeyError, TypeError, ValueError):
            raise Unavailable(f"GitHub gave no token to {described} ({status}); try again") from None


def requester_of(api_url: str, auth: github.Auth.Auth, timeout: float) -> Requester:
    """PyGithub's sender with its own repetitions and pauses off."""
    return Requester(
        auth=auth,
        base_url=api_url,
        timeout=timeout,  # type: ignore[arg-type] # requests takes fractions of a second, too
        user_agent=USER_AGENT,
        per_page=PER_PAGE,
        verify=True,
        retry=None,
        pool_size=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


_known: dict[tuple[str, str, Limits], Shared] = {}
_lock = threading.Lock()


def shared(api_url: str, credential: Credential, clock: Clock, limits: Limits) -> Shared:
    """The one `Shared` of this process for a credential at a GitHub."""
    key = (api_url, credential.fingerprint, limits)
    with _lock:
        if key not in _known:
            _known[key] = Shared(api_url, credential, clock, limits)
        return _known[key]
