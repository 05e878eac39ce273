"""`load`: from flags, environment and files to `Settings`, or to every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sentinel.errors import ConfigurationError
from sentinel.model.ids import is_id
from sentinel.settings.agreement import (
    contradictions,
    is_on_github,
    odd_options,
    odd_strategy,
    other_repositories,
    store_on_github,
)
from sentinel.settings.filelayer import FileLayer
from sentinel.settings.jsonfile import parse_object
from sentinel.settings.layers import (
    Entry,
    KeyPath,
    Layer,
    checked,
    from_flags,
    from_variables,
    nested,
    unknown_variables,
)
from sentinel.settings.textfile import presence, read_text
from sentinel.settings.tree import KEYS, Settings, StoreKind
from sentinel.settings.variables import from_dotenv, from_environment

#: Where the shared file is looked for when nobody names one, below the current folder.
SHARED_FILE = Path("config", "shared.json")

_STORE: KeyPath = ("store",)
_WORKER_ID: KeyPath = ("worker", "id")
_HEARTBEAT = {("heartbeat", "interval"), ("heartbeat", "stale_threshold")}
_OURS = frozenset(name for key in KEYS for name in key.env)

#: A sentence for each problem that only a user of the settings can see, such as a module that is missing.
Examine = Callable[[Settings], Iterable[str]]


def load(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str],
    folder: Path,
    config: Path | None = None,
    examine: Examine | None = None,
) -> Settings:
    """The settings in force: flag > environment > `.env` > worker file > shared file > default.

    ``flags`` maps names of the settings tree (``worker.id``) to values, None for a flag that was not given;
    ``environ`` is the whole environment; ``folder`` the current folder, which `.env` and relative paths are
    taken from; ``config`` the value of ``--config``: the shared file, or the folder that `shared.json` is
    in. ``examine`` is called with the settings that all valid values make, and gives further problems:
    whoever runs commands knows more of them than is known here. Nothing else is looked at.

    Raises `ConfigurationError` with a sentence for every problem, each naming its file, variable or flag and
    the key. Raises `KeyError` when ``flags`` has a name that the tree does not have.
    """
    return _Loading(environ, folder, examine).run(flags or {}, config)


def worker_files(*, environ: Mapping[str, str], folder: Path, config: Path | None) -> list[str]:
    """Ids that have a worker file beside the shared file; the parameters are those of `load`."""
    shared = _Loading(environ, folder, None).shared_file(config)[0]
    return sorted(file.stem for file in shared.parent.glob("*.json") if file != shared and is_id(file.stem))


class _Loading:
    def __init__(self, environ: Mapping[str, str], folder: Path, examine: Examine | None) -> None:
        self._folder = folder
        self._examine = examine
        self._problems: list[str] = []
        self._warnings: list[str] = []
        self._files: list[str] = []
        #: Places whose value was refused: nothing is concluded from what stands there instead.
        self._refused: set[KeyPath] = set()
        self._environment = from_environment(environ)
        self._dotenv = from_dotenv(folder / ".env", _is_ours, self._problems.append)
        if self._dotenv:
            self._files.append(".env")

    def run(self, flags: Mapping[str, object], config: Path | None) -> Settings:
        outer = [from_flags(flags)]
        for variables in (self._environment, self._dotenv):
            outer.append(from_variables(variables))
            self._warnings += unknown_variables(variables)
        outer = [self._valid(layer) for layer in outer]

        place, named_by = self.shared_file(config)
        shared = self._file(place, shared=True, named_by=named_by)
        worker = self._worker_file(place, _first(outer, _WORKER_ID))
        inner = [self._valid(file.entries) for file in (worker, shared) if file is not None]
        if worker is not None and shared is not None:
            self._problems += contradictions(*inner)

        merged: dict[KeyPath, Entry] = {}
        for layer in reversed([*outer, *inner]):
            merged.update(layer)
        if _STORE not in merged:
            merged.update(store_on_github(merged))
        self._references([file for file in (worker, shared) if file is not None], merged)
        self._problems += [*odd_options(merged), *other_repositories(merged)]
        self._warnings += odd_strategy(merged)
        settings = Settings.assembled(
            nested(merged.values()),
            origins={".".join(path): entry.origin for path, entry in merged.items()},
            labels={".".join(path): entry.label for path, entry in merged.items()},
            warnings=tuple(self._warnings),
            files=tuple(self._files),
            hidden=frozenset(".".join(path) for path, entry in merged.items() if entry.shown is None),
        )
        self._lease(settings)
        if self._examine is not None:
            self._problems += self._examine(settings)
        if self._problems:
            raise ConfigurationError(list(dict.fromkeys(self._problems)))
        return settings

    def _valid(self, layer: Layer) -> Layer:
        good = checked(layer, self._problems.append)
        self._refused |= set(layer) - set(good)
        return good

    def shared_file(self, config: Path | None) -> tuple[Path, str | None]:
        """Where the shared file is, and who named it; None when nobody did and it may be missing."""
        if config is not None:
            place, named_by = self._folder / config, "flag --config"
        else:
            variable = self._environment.get("SENTINEL_CONFIG") or self._dotenv.get("SENTINEL_CONFIG")
            if variable is None:
                return self._folder / SHARED_FILE, None
            place, named_by = self._folder / variable.value, variable.label
        return (place / SHARED_FILE.name if presence(place) == "folder" else place), named_by

    def _worker_file(self, shared: Path, worker_id: Entry | None) -> FileLayer | None:
        if worker_id is None or not is_id(worker_id.value):
            return None
        place = shared.with_name(f"{worker_id.value}.json")
        if place == shared:
            if presence(shared) != "missing":
                self._problems.append(
                    f"{worker_id.label}: the id {worker_id.value} would make {self._shown(shared)} the "
                    "worker's own file; choose another id"
                )
            return None
        file = self._file(place, shared=False)
        named = None if file is None else file.entries.get(_WORKER_ID)
        if named is not None and named.value != worker_id.value:
            self._problems.append(
                f"{named.label} is {named.shown or 'another one'}, but {worker_id.label} chose this file for "
                f"{worker_id.value}; make the two agree"
            )
        return file

    def _file(self, place: Path, *, shared: bool, named_by: str | None = None) -> FileLayer | None:
        """The layer of a file; None when it does not exist, which is a problem if somebody named it."""
        shown = self._shown(place)
        if presence(place) == "missing":
            if named_by is not None:
                self._problems.append(f"{named_by}: the configuration file {shown} does not exist")
            return None
        self._files.append(shown)
        file = FileLayer(shown, shared=shared, lookup=self._lookup)
        text = read_text(place, lambda reason: self._problems.append(f"{shown} {reason}"))
        if text is not None:
            file.read(parse_object(text, lambda reason: self._problems.append(f"{shown}: {reason}")))
        self._problems += file.problems
        self._warnings += file.warnings
        return file

    def _references(self, files: list[FileLayer], merged: Mapping[KeyPath, Entry]) -> None:
        """Report variables that are not set, except for GitHub when the store is not there."""
        on_github = is_on_github(merged)
        for file in files:
            for unset in file.unset:
                self._refused.add(unset.key.path)
                if on_github or unset.key.path[0] != "github":
                    self._problems.append(unset.sentence)

    def _lease(self, settings: Settings) -> None:
        """Check the two against each other, but not against a default where a value may just be misspelt."""
        if None not in (settings.heartbeat.interval, settings.heartbeat.stale_threshold):
            kind: StoreKind | None = "local"  # Both are given, so the kind makes no difference.
        elif self._problems:
            return
        else:
            kind = settings.store_kind
        if kind is None or self._refused & _HEARTBEAT:
            return
        try:
            settings.lease(kind)
        except ConfigurationError as error:
            self._problems += error.problems

    def _lookup(self, name: str) -> str | None:
        found = self._environment.get(name) or self._dotenv.get(name)
        return None if found is None else found.value

    def _shown(self, place: Path) -> str:
        return str(place.relative_to(self._folder) if place.is_relative_to(self._folder) else place)


def _first(layers: list[Layer], path: KeyPath) -> Entry | None:
    return next((layer[path] for layer in layers if path in layer), None)


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith("SENTINEL_")
