"""Takes secrets out of text that leaves the machine: what a task printed, said, or returned.

Two ways to know a secret: by its value, where the daemon holds or has read it, and by its shape, where the
issuer gives its tokens one. Neither is complete, and no redactor is: a secret that is printed in pieces, or
encoded, passes. The first defence is that tasks are given no secrets.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

#: What stands where a secret stood.
MASK = "[redacted]"
#: A shorter value would be found in half of all words.
_MIN_SECRET = 8
#: So many of the secrets that were read are known: with a new one each hour, those of ten days.
_REMEMBERED = 256
#: Variables whose names say that their values are secrets.
_SECRET_NAME = re.compile(r"(?:TOKEN|SECRET|PASSWORD|PASSWD|PRIVATE_KEY|API_KEY|CREDENTIALS?)$")

_SHAPES = (
    # GitHub's tokens of every kind.
    r"gh[pousr]_[A-Za-z0-9_]{16,255}",
    r"github_pat_[A-Za-z0-9_]{16,255}",
    r"glpat-[A-Za-z0-9_-]{16,255}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,255}",
    r"sk-[A-Za-z0-9_-]{20,255}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"npm_[A-Za-z0-9]{30,255}",
    r"pypi-[A-Za-z0-9_-]{30,500}",
)
_TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_SHAPES)})")
#: JSON Web Tokens: two objects and a signature. What is tried is tried once for each run of such characters:
#: a task may print millions of beginnings of one.
_WEB_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8})"
    r"(?P<before>[A-Za-z0-9_-]*?)(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++"
)
_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ ){0,3}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
#: ``Authorization: Bearer …`` and ``https://user:password@host``.
_HEADER = re.compile(
    r"(?i)(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:(?:bearer|basic|token)\s{1,4})?)[^\s\"',]{4,4096}"
)
_URL = re.compile(r"(://[^\s/@:]{0,256}:)[^\s/@]{1,1024}(?=@)")
#: One of these is in every token that `_TOKEN` and `_WEB_TOKEN` find. Looking for them is quick, and most
#: texts have none.
_BEGINNINGS = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AKIA", "ASIA", "xox", "sk-", "AIza"),
    *("npm_", "pypi-", "eyJ"),
)


class Secrets:
    """Secrets that were read somewhere, such as tokens of a file that is replaced now and then. Thread-safe.

    One that has been replaced stays: what was printed while it was good may come later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: The newest `_REMEMBERED`, the oldest first.
        self._values: tuple[str, ...] = ()

    def remember(self, secret: str) -> None:
        """From now on ``secret`` is taken out of texts."""
        if len(secret) < _MIN_SECRET or secret in self._values:
            return
        with self._lock:
            self._values = (*(value for value in self._values if value != secret), secret)[-_REMEMBERED:]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


#: What this process has read: whoever reads a secret has it remembered here, and every redactor knows it.
READ: Final = Secrets()


class Redactor:
    """Takes out the ``secrets`` given, those that were read, and whatever has the shape of one."""

    def __init__(self, secrets: Iterable[str] = (), *, read: Secrets = READ) -> None:
        self._secrets = frozenset(text for text in secrets if len(text) >= _MIN_SECRET)
        self._read = read

    def text(self, text: str) -> str:
        """``text`` with `MASK` for each secret."""
        # The longest first: one may hold another.
        for secret in sorted(self._secrets.union(self._read), key=lambda text: (-len(text), text)):
            text = text.replace(secret, MASK)
        text = _KEY.sub(MASK, text)
        if any(beginning in text for beginning in _BEGINNINGS):
            text = _WEB_TOKEN.sub(rf"\g<before>{MASK}", _TOKEN.sub(MASK, text))
        if "authorization" in text.lower():
            text = _HEADER.sub(rf"\g<1>{MASK}", text)
        return _URL.sub(rf"\g<1>{MASK}", text)

    def data(self, data: bytes) -> bytes:
        """The same for bytes of any encoding."""
        # One character for each byte, so that what is no UTF-8 stays as it was; secrets are ASCII.
        return self.text(data.decode("latin-1")).encode("latin-1")

    def value(self, value: Any) -> Any:
        """The same for every text in a JSON value, names included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self.value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """The values of an environment that its names call secret."""
    return [value for name, value in environ.items() if _SECRET_NAME.search(name.upper())]
