"""Workers on GitHub Actions: each is a run of a workflow of the repository, started by a dispatch."""

from __future__ import annotations

from urllib.parse import quote

from sentinel.errors import OutcomeUnknown
from sentinel.fleet.access import AccessOptions
from sentinel.github.api import Api, Options, connect
from sentinel.github.place import Place, locate


class WorkflowRunners:
    """See `sentinel.fleet.access.Runners`."""

    def __init__(self, api: Api, place: Place, workflow: str, ref: str) -> None:
        self._api = api
        self._path = f"{place.path}/actions/workflows/{quote(workflow, safe='')}/dispatches"
        self._ref = ref

    def start(self, worker: str) -> None:
        """Dispatch the workflow with the worker's id as its input ``worker_id``. Raises store errors.

        One whose answer was lost counts as started: it joins, or is given up after a time.
        """
        try:
            self._api.send("POST", self._path, {"ref": self._ref, "inputs": {"worker_id": worker}})
        except OutcomeUnknown:
            return


def open_runners(url: str, options: AccessOptions, *, workflow: str, ref: str) -> WorkflowRunners:
    """The runners of the repository that ``url`` names. Nothing is sent yet.

    Raises `BadInput` for a URL that names no repository, and `Unauthorised` without credentials.
    """
    place = locate(url, options.environ)
    api = connect(place, Options(timeout=options.timeout, environ=options.environ, clock=options.clock))
    return WorkflowRunners(api, place, workflow, ref)
