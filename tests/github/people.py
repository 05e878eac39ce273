"""What people do on the emulated GitHub: they open issues, edit them, and comment."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.github.emulator import OWNER, REPO, Emulator


class People:
    """What people do on GitHub, past the proxy."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self.path = f"repos/{OWNER}/{REPO}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, *, by: str = OWNER) -> Any:
        answer = self._emulator.call(method, f"{self.path}/{path}", body, login=by)
        assert answer.ok, answer.text
        return answer.json() if answer.text else None

    def open(self, body: str, *, by: str = "writer") -> int:
        """Open an issue with the label; its number."""
        issue = {"title": "A task", "body": body, "labels": ["sentinel"]}
        return int(self._call("POST", "issues", issue, by=by)["number"])

    def ask(self, type: str, *, by: str = "writer", after: tuple[str, ...] = (), **args: str) -> int:
        """Open an issue that asks for a task."""
        return self.open(block(type, after=after, **args), by=by)

    def edit(self, number: int, **changes: str) -> None:
        """Edit, close or open an issue."""
        self._call("PATCH", f"issues/{number}", changes)

    def say(self, number: int, text: str, *, by: str = "writer") -> None:
        """Comment."""
        self._call("POST", f"issues/{number}/comments", {"body": text}, by=by)

    def merge(self, path: str, content: str) -> None:
        """Have a file on the default branch say something."""
        there = self._emulator.call("GET", f"{self.path}/contents/{path}")
        encoded = base64.b64encode(content.encode()).decode()
        change = {"message": f"Change {path}", "content": encoded}
        known = {"sha": there.json()["sha"]} if there.ok else {}
        self._call("PUT", f"contents/{path}", {**change, **known})

    def issue(self, number: int) -> dict[str, Any]:
        """An issue as people see it."""
        found: dict[str, Any] = self._call("GET", f"issues/{number}")
        return found

    def comments(self, number: int) -> list[tuple[int, str]]:
        """Number and text of each comment."""
        listed = self._call("GET", f"issues/{number}/comments?per_page=100")
        return [(comment["id"], comment["body"]) for comment in listed]

    def answers(self, number: int) -> list[str]:
        """The fleet's own comments."""
        return [text for _, text in self.comments(number) if text.startswith("<!-- sentinel")]

    def labels(self, number: int) -> set[str]:
        """The labels of an issue."""
        return {label["name"] for label in self.issue(number)["labels"]}


def block(type: str, *, after: tuple[str, ...] = (), **args: str) -> str:
    """The block of an issue."""
    fields = {"type": type, "args": args, **({"after": list(after)} if after else {})}
    return f"Please.\n\n```sentinel\n{json.dumps(fields)}\n```\n"
