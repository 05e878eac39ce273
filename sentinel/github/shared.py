"""What all clients of one credential in this process have in common: limit, cache, meter and token."""

from __future__ import annotations

import datetime
import threading

import github
import requests

from sentinel.clock import Clock
from sentinel.errors import Unavailable
from sentinel.github.cache import EtagCache
from sentinel.github.credential import Credential
from sentinel.github.errors import Unauthorised
from sentinel.github.limiter import Limiter, Limits
from sentinel.github.meter import Meter

#: Says who we are, as GitHub wants it.
USER_AGENT = "task-sentinel"
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
        try:
            app = github.Auth.AppAuth(self.credential.app_id, self.credential.private_key())
            integration = github.GithubIntegration(
                auth=app,
                base_url=self._api_url,
                timeout=max(1, int(timeout)),
                user_agent=USER_AGENT,
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=None,
            )
            with integration:
                self.meter.sent(write=True, content=False)
                given = integration.get_access_token(self.credential.installation_id)
        except github.GithubException as error:
            if error.status in (401, 403, 404):
                raise Unauthorised(
                    f"GitHub gives no token to {described} ({error.status}); check the App's id, the id of "
                    "its installation and the private key"
                ) from None
            raise Unavailable(f"GitHub gave no token to {described} ({error.status}); try again") from None
        except requests.RequestException as error:
            raise Unavailable(f"GitHub cannot be reached: {type(error).__name__}") from None
        except (ValueError, TypeError) as error:
            # What is not a private key is shown by no error of ours.
            raise Unauthorised(
                f"{described} has no private key that can be used ({type(error).__name__})"
            ) from None
        lasts = (
            given.expires_at - datetime.datetime.fromtimestamp(self._clock.wall(), datetime.UTC)
        ).total_seconds()
        return given.token, min(max(lasts, _EARLY), 3600.0)


_known: dict[tuple[str, str, Limits], Shared] = {}
_lock = threading.Lock()


def shared(api_url: str, credential: Credential, clock: Clock, limits: Limits) -> Shared:
    """The one `Shared` of this process for a credential at a GitHub."""
    key = (api_url, credential.fingerprint, limits)
    with _lock:
        if key not in _known:
            _known[key] = Shared(api_url, credential, clock, limits)
        return _known[key]
