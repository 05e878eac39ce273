"""The program that git asks for a user name or password; run by its path, with nothing of ours imported.

Git calls it with one argument, such as ``Password for 'https://x-access-token@github.com': ``. It answers
only for the one origin that it was told of: after a redirect to another host git asks for that one, and
gets nothing. The token itself is in the environment or a file, and never in an argument.
"""

from __future__ import annotations

import os
import re
import sys

#: Names the origin (``https://github.com``) that the token is for.
ORIGIN = "SENTINEL_ASKPASS_ORIGIN"
#: Names the variable that holds the token, or is empty.
VARIABLE = "SENTINEL_ASKPASS_VARIABLE"
#: Names the file that holds the token, or is empty.
FILE = "SENTINEL_ASKPASS_FILE"
#: GitHub takes any name with a token, GitLab and Gitea too.
USER = "x-access-token"

_PROMPT = re.compile(r"(Username|Password) for '([a-z]+://)(?:[^/']*@)?([^/'@]+)/?[^']*'")


def answer(prompt: str, environ: dict[str, str]) -> str | None:
    """What git is told, or None when it is not ours to say. Raises `OSError` for a file that is missing."""
    asked = _PROMPT.match(prompt)
    if asked is None or asked[2] + asked[3] != environ.get(ORIGIN):
        return None
    if asked[1] == "Username":
        return USER
    if environ.get(FILE):
        with open(environ[FILE], encoding="utf-8") as file:  # noqa: PTH123 - starts faster without pathlib
            token = file.readline().strip()
    else:
        token = environ.get(environ.get(VARIABLE, ""), "").strip()
    return token or None


if __name__ == "__main__":
    try:
        text = answer(sys.argv[1] if len(sys.argv) > 1 else "", dict(os.environ))
    except (OSError, ValueError) as error:
        # Not the content, whatever it is.
        sys.exit(f"sentinel: the token file cannot be read ({type(error).__name__})")
    if text is None:
        sys.exit(1)
    sys.stdout.write(text + "\n")
