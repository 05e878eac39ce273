"""What belongs to a fleet's repository on GitHub besides its state: labels, and a form for tasks."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import quote

from sentinel.errors import Rejected
from sentinel.fleet.access import AccessOptions
from sentinel.github.api import Api, Options, connect
from sentinel.github.errors import Declined, Missing
from sentinel.github.place import locate
from sentinel.model.layout import STATE_REF

STATE_BRANCH = STATE_REF.removeprefix("refs/heads/")

#: Label → colour and description.
LABELS = {
    "sentinel": ("0b3d91", "A task for the fleet"),
    "sentinel:pending": ("c5def5", "Waits for a worker"),
    "sentinel:running": ("1d76db", "A worker has it"),
    "sentinel:done": ("0e8a16", "Ended well"),
    "sentinel:failed": ("d93f0b", "Ended otherwise; /retry runs it again"),
    "sentinel:dead": ("5c0011", "Worker after worker was lost while running it"),
    "sentinel:needs-approval": ("fbca04", "Waits for /approve by somebody who may"),
}
FORM = ".github/ISSUE_TEMPLATE/sentinel-task.yml"
FORM_TEXT = """\
# Made by `sentinel init`; change it as you like, it is not written again.
name: Task for the fleet
description: Hand in a task to Task Sentinel
title: "Task: "
labels: ["sentinel"]
body:
  - type: markdown
    attributes:
      value: |
        The fleet runs what stands in the block below, answers in one comment, and closes the issue when the
        task is done. Its fields: `type`, `args`, and if you like `priority` (low, normal, high, critical),
        `timeout` (seconds) and `retries`.
  - type: textarea
    id: task
    attributes:
      label: Task
      value: |
        ```sentinel
        {"type": "word-count", "args": {"path": "docs"}}
        ```
    validations:
      required: true
"""


def furnish(url: str, options: AccessOptions, *, dry_run: bool) -> list[str]:
    """See `sentinel.fleet.access.Furnish`."""
    place = locate(url, options.environ)
    api = connect(place, Options(timeout=options.timeout, environ=options.environ, clock=options.clock))
    try:
        return [*_labels(api, dry_run=dry_run), *_form(api, dry_run=dry_run)]
    finally:
        api.close()


def _labels(api: Api, *, dry_run: bool) -> Iterator[str]:
    path = f"{api.place.path}/labels"
    there = {str(label.get("name", "")).lower() for label in api.pages(path) if isinstance(label, dict)}
    for name, (colour, description) in LABELS.items():
        if name in there:
            continue
        if not dry_run:
            try:
                api.send("POST", path, {"name": name, "color": colour, "description": description})
            except Declined as error:
                # Somebody else was faster.
                if "already_exists" not in error.reason:
                    raise
                continue
        yield f"{_made(dry_run)} the label {name}."


def _form(api: Api, *, dry_run: bool) -> Iterator[str]:
    place = api.place
    path = f"{place.path}/contents/{quote(FORM)}"
    try:
        api.get(path)
    except Missing:
        pass
    else:
        return
    if _default_branch(api) == STATE_BRANCH:
        # GitHub takes the first branch of an empty repository for it, and the state is no place for files.
        yield (
            f"Left out the form {FORM}: the default branch is {STATE_BRANCH}; make another one the default "
            "in the repository's settings, and run the same command again."
        )
        return
    if not dry_run:
        content = base64.b64encode(FORM_TEXT.encode()).decode()
        try:
            api.send("PUT", path, {"message": "Add the form for tasks", "content": content})
        except Declined as error:
            # Sent without the file's id, it is refused where there is one by now.
            if error.status == 422 and "sha" in error.reason:
                return
            raise Rejected(
                f"{place.store} does not take {FORM} on its default branch: {error.reason}; commit it by "
                "yourself, or leave it out: an issue with the label `sentinel` needs no form"
            ) from error
    yield f"{_made(dry_run)} the form {FORM} on the default branch."


def _default_branch(api: Api) -> str:
    repository = api.get(api.place.path).body
    return str(repository.get("default_branch")) if isinstance(repository, dict) else ""


def _made(dry_run: bool) -> str:
    return "Would make" if dry_run else "Made"
