"""The list of all comments of a repository, which GitHub has and the emulator has not."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

#: Asks the emulator for a path; the parsed answer.
Ask = Callable[[str], Any]

PATH = re.compile(r"(/repos/[^/]+/[^/]+)/issues/comments")


def listing(path: str, url: str, ask: Ask) -> tuple[dict[str, str], bytes] | None:
    """Headers and body of the answer to ``GET path``, if that asks for such a list: put together from those
    of all issues. ``url`` is where we listen.
    """
    parts = urllib.parse.urlsplit(path)
    found = PATH.fullmatch(parts.path)
    if found is None:
        return None
    asked = dict(urllib.parse.parse_qsl(parts.query))
    comments: list[dict[str, Any]] = []
    for page in range(1, 100):
        issues = ask(f"{found[1]}/issues?state=all&per_page=100&page={page}")
        for issue in issues:
            if issue.get("comments"):
                comments += ask(f"{found[1]}/issues/{issue['number']}/comments?per_page=100")
        if len(issues) < 100:
            break
    since = asked.get("since", "")
    order = asked.get("sort", "created")
    comments = sorted(
        (comment for comment in comments if comment["updated_at"] >= since),
        key=lambda comment: (comment[f"{order}_at"], comment["id"]),
        reverse=asked.get("direction") == "desc",
    )
    size, page = int(asked.get("per_page", 30)), int(asked.get("page", 1))
    headers = {"content-type": "application/json; charset=utf-8"}
    if len(comments) > page * size:
        following = urllib.parse.urlencode({**asked, "page": page + 1})
        headers["link"] = f'<{url}{parts.path}?{following}>; rel="next"'
    return headers, json.dumps(comments[(page - 1) * size : page * size]).encode()
