"""What git's words mean: whether a push landed, and which sentence tells a person what is wrong.

Git runs in the C locale, so its words are known. The rule is the careful one: a push counts as not applied
only for an answer that says so or cannot come after the change was sent; everything else leaves it open.
"""

from __future__ import annotations

import dataclasses
import enum
import re

from sentinel.store.git_process import Ran
from sentinel.store.location import Location


class Pushed(enum.Enum):
    """What became of one ref of a push."""

    LANDED = "landed"
    #: The ref was not where we said, or somebody else is moving it: certainly not applied.
    MOVED = "moved"
    #: The server says so, too, but over HTTP: a request whose connection broke is sent once more by git's
    #: HTTP library, and this may be the answer to the second copy of one that landed.
    CONTESTED = "contested"
    #: The server will never take it: a hook, a limit, a rule.
    REFUSED = "refused"
    #: Certainly not applied: the server could not be reached, or could not do it now.
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A judged push; ``reason`` is for people, one line."""

    pushed: Pushed
    reason: str = ""


#: In a server's refusal: competition for the ref.
_MOVED = re.compile(
    r"failed to (?:update|lock)|cannot lock|unable to (?:lock|create)|but expected|incorrect old value|"
    r"already exists|fetch first|stale|non-fast-forward|failed to write|reference already",
    re.IGNORECASE,
)
#: In a server's refusal: its trouble, which may pass.
_PASSING = re.compile(
    r"internal server error|missing necessary objects|unpacker error|unpack failed|temporar|timed? ?out|"
    r"no space|read-only file system",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"exceeds|too large|larger than|maximum allowed size|file size limit", re.IGNORECASE)

#: Errors that git can only meet before it sent what is to change.
_BEFORE = re.compile(
    r"fatal: unable to access '|could not resolve host|name or service not known|"
    r"connection refused|no route to host|network is unreachable|unable to look up|"
    r"ssh: connect to host|connection timed out during banner|host key verification failed|"
    r"permission denied \(|authentication failed for|could not read (?:username|password)|"
    r"does not appear to be a git repository|repository '[^']*' not found|repository not found|"
    r"is this a git repository\?|access denied or repository not exported|service not enabled|"
    r"detected dubious ownership|not a git repository|no such identity",
    re.IGNORECASE,
)


def judge_push(ran: Ran, ref: str, *, repeated: bool) -> Answer:
    """What became of ``ref`` in a push with ``--porcelain``; ``repeated`` if git may have sent it twice."""
    for line in ran.out.decode("utf-8", "replace").splitlines():
        flag, _, rest = line.partition("\t")
        names, _, summary = rest.partition("\t")
        if names.rpartition(":")[2] == ref and flag in (" ", "+", "*", "-", "=", "!"):
            answer = Answer(Pushed.LANDED) if flag != "!" else _judge_refusal(summary, ran.err)
            sent = "[remote rejected]" in summary
            if repeated and sent and answer.pushed in (Pushed.MOVED, Pushed.FAILED):
                return Answer(Pushed.CONTESTED, answer.reason)
            return answer
    said = last_words(ran.err)
    if ran.status is None:
        return Answer(Pushed.UNKNOWN, "the server did not answer in time")
    ours = "\n".join(line for line in ran.err.splitlines() if not line.startswith("remote: "))
    if _BEFORE.search(ours) and "RPC failed" not in ours:
        return Answer(Pushed.FAILED, said)
    return Answer(Pushed.UNKNOWN, said)


def _judge_refusal(summary: str, err: str) -> Answer:
    kind, _, reason = summary.partition(" (")
    reason = reason.removesuffix(")")
    if kind == "[rejected]":
        return Answer(Pushed.MOVED, reason)
    if kind != "[remote rejected]":
        return Answer(Pushed.UNKNOWN, reason or kind)
    remote = " ".join(
        line.removeprefix("remote: ").strip() for line in err.splitlines() if line.startswith("remote: ")
    )
    told = one_line(f"{reason}: {remote}" if remote else reason)
    if _TOO_LARGE.search(err):
        return Answer(Pushed.REFUSED, told)
    # The hook's own words must not decide what its refusal counts as.
    if "hook" not in reason and "declined" not in reason:
        if _MOVED.search(reason):
            return Answer(Pushed.MOVED, told)
        if _PASSING.search(reason):
            return Answer(Pushed.FAILED, told)
    return Answer(Pushed.REFUSED, told)


def missing_ref(ran: Ran) -> bool:
    """Whether a fetch failed only because the server does not have the ref."""
    return "couldn't find remote ref" in ran.err.lower()


def missing_object(ran: Ran) -> bool:
    """Whether a fetch of an object by its id failed because the server does not have it."""
    return "not our ref" in ran.err


def hidden_object(ran: Ran) -> bool:
    """Whether the server gives only what its refs name, and so not this object by its id."""
    return "unadvertised object" in ran.err.lower()


_DAMAGE = re.compile(
    r"(?:^|\n)(?:fatal|error): (?!remote error).*"
    r"(?:not a git repository: '|object file .* is empty|is corrupt|corrupt loose object|bad object |"
    r"unable to read (?:tree|[0-9a-f]{40})|inflate|index file .* is too small|unresolved delta|"
    r"failed to read object|packfile .* (?:is|cannot)|bad tree object|missing blob|"
    r"did not send all necessary objects|invalid object|bad config|unable to parse|"
    r"could not parse object|unable to find all commit-graph|object directory .* does not exist)"
    r"|shallow file has changed|is not a valid object",
    re.IGNORECASE,
)


def damaged_here(ran: Ran) -> bool:
    """Whether git complains of the repository on this side."""
    return _DAMAGE.search(ran.err) is not None


#: Words of git or ssh → what a person should know and do. The first that is found counts.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"could not resolve host|name or service not known|unable to look up|temporary failure in name",
        "the host is not known; check the spelling of {where} and this machine's network",
    ),
    (
        r"host key verification failed|remote host identification has changed",
        "the host's key is not known or has changed; check it, then run `ssh {host}` once by hand",
    ),
    (
        r"permission denied \(|no such identity|too many authentication failures",
        "ssh lets nobody in without a key that the server knows; try `ssh {host}` by hand, and load the key "
        "into the agent or name it in ~/.ssh/config",
    ),
    (
        r"returned error: 403|write access to repository not granted|insufficient.*scope",
        "the server knows us and does not permit this (403); give the token of {credentials} read and write "
        "access to the repository's contents",
    ),
    (
        r"authentication failed|could not read (?:username|password)|returned error: 401|invalid credentials|"
        r"terminal prompts disabled",
        "the server wants a password or token, and did not take what came from {credentials}; put a valid "
        "token into a file and name it in SENTINEL_TOKEN_FILE",
    ),
    (
        r"returned error: 429|rate limit",
        "the server limits how often we may ask (429); let fewer peers beat less often",
    ),
    (
        r"certificate|ssl",
        "the server's certificate is not trusted; put its authority into GIT_SSL_CAINFO",
    ),
    (
        r"dubious ownership",
        "the repository belongs to another user; run `git config --global --add safe.directory PATH` for it",
    ),
    (
        r"not found|does not appear to be a git repository|does not exist|not exported|no such file or dir",
        "there is no such repository, or it is hidden from us; make it on the server, for example with "
        "`git init --bare`, or check the path",
    ),
    (
        r"is this a git repository\?|protocol error|invalid server response|bad line length|expected flush|"
        r"unexpected.*response|expected 'packfile'",
        "what answers is not a git server; check the URL, and whether a proxy stands between",
    ),
    (r"service not enabled", "the server does not take pushes; enable receive-pack for this repository"),
)


def explain(location: Location, ran: Ran, doing: str, credentials: str) -> str:
    """One sentence about a call that failed, with the remedy where one is known."""
    if ran.status is None:
        return f"cannot {doing} {location.store}: no answer in time; check the network, and try again"
    said = last_words(ran.err)
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, ran.err, re.IGNORECASE):
            host = location.authority or "HOST"
            told = remedy.format(
                where=location.authority or location.store, host=host, credentials=credentials
            )
            return f"cannot {doing} {location.store}: {told} (git said: {said})"
    return f"cannot {doing} {location.store}: {said or 'git says nothing more'}; try again"


def explain_page(location: Location) -> str:
    """The sentence for an answer that is a web page and no repository."""
    return (
        f"cannot read {location.store}: what answers is not a git server; check the URL, and whether a proxy "
        "stands between"
    )


def speaks_git(ran: Ran) -> bool:
    """Whether a traced call over HTTP got packets of git's protocol, and not a file or a page."""
    return re.search(r"packet: .*< (?:version 2|# service=)", ran.err) is not None


_SAYS_NOTHING = re.compile(r"the remote end hung up|could not read from remote repository", re.IGNORECASE)


def last_words(err: str) -> str:
    """The line of git's complaint that tells most, made harmless."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    for mark in ("fatal: ", "ssh: ", "error: "):
        for line in lines:
            if line.startswith(mark) and not _SAYS_NOTHING.search(line):
                return one_line(line.removeprefix(mark))
    return one_line(lines[-1]) if lines else ""


def one_line(text: str, limit: int = 300) -> str:
    """``text`` as one printable line."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:limit]
