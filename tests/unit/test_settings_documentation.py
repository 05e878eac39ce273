"""`docs/configuration.md`, `.env.example` and the example files stay in step with the settings themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sentinel.settings import KeyDoc, Settings, documented_keys, load

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "configuration.md"


def row(key: KeyDoc) -> str:
    """The line of the table that `docs/configuration.md` has for ``key``."""
    env = ", ".join(f"`{name}`" for name in (key.env, *key.env_also) if name) or "–"
    unit = key.unit if key.unit == key.json_unit else f"{key.unit} (files: {key.json_unit})"
    cells = [
        f"`{key.json}`",
        env,
        f"`{key.python}`",
        unit or "–",
        key.default,
        key.range or "any",
        key.meaning,
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("key", documented_keys(), ids=lambda key: key.python)
def test_every_setting_has_its_row_in_the_document(key: KeyDoc) -> None:
    assert row(key) in DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_the_document_has_no_row_for_a_setting_that_does_not_exist() -> None:
    rows = {
        line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if re.match(r"\| `[a-z]", line)
    }
    flags = {line for line in rows if line.startswith("| `--")}
    assert rows - flags == {row(key) for key in documented_keys()}


@pytest.mark.parametrize("key", [key for key in documented_keys() if key.flag], ids=lambda key: key.flag)
def test_every_flag_is_in_the_document(key: KeyDoc) -> None:
    assert f"| `{key.flag}` | `{key.python}` |" in DOCUMENT.read_text(encoding="utf-8")


def test_every_json_key_environment_name_and_python_name_is_unique() -> None:
    keys = documented_keys()
    names = [name for key in keys for name in (key.env, *key.env_also) if name]
    assert len(set(names)) == len(names)
    assert len({key.json for key in keys}) == len({key.python for key in keys}) == len(keys)


@pytest.mark.parametrize("key", documented_keys(), ids=lambda key: key.python)
def test_each_field_says_its_unit_default_and_range(key: KeyDoc) -> None:
    *sections, name = key.python.split(".")
    model: type = Settings
    for section in sections:
        model = model.model_fields[section].annotation  # type: ignore[attr-defined]  # walks pydantic models
    description = model.model_fields[name].description  # type: ignore[attr-defined]
    assert key.meaning in description
    for part in (f"Unit: {key.unit or 'none'}.", f"Default: {key.default}.", "Range: "):
        assert part in description


@pytest.mark.parametrize(
    "example", re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
)
def test_an_example_file_in_the_document_loads(example: str, tmp_path: Path) -> None:
    worker = json.loads(example).get("workerId")
    place = tmp_path / "config" / (f"{worker}.json" if worker else "shared.json")
    place.parent.mkdir()
    place.write_text(example, encoding="utf-8")
    settings = load({"worker.id": worker}, environ={}, folder=tmp_path)
    assert settings.files == (f"config/{place.name}",)


def test_the_document_lists_what_a_running_worker_heeds() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text.split("## Changes while a worker runs")[1].split("\n## ")[0]
    listed = re.findall(r"`([a-zA-Z.]+)`", "".join(re.findall(r"^(?:- |  ).*$", section, re.MULTILINE)))
    assert sorted(listed) == sorted(key.json for key in documented_keys() if key.live)


def test_the_example_of_an_environment_file_names_only_what_exists() -> None:
    known = {name for key in documented_keys() for name in (key.env, *key.env_also)} | {"SENTINEL_CONFIG"}
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)
    assert named
    assert set(named) <= known


def test_the_example_of_an_environment_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    assert load(environ={}, folder=tmp_path).warnings == ()


def test_the_example_files_load_with_nothing_else_set() -> None:
    settings = load(environ={}, folder=ROOT, config=Path("config"))
    assert settings.files[-1:] == ("config/shared.json",)
    assert settings.warnings == ()


def test_the_example_of_a_shared_file_changes_no_default() -> None:
    settings = load(environ={}, folder=ROOT, config=Path("config"))
    assert settings.load_balancer.options == {"considerCapacity": True}
    plain = settings.model_copy(update={"load_balancer": Settings().load_balancer})
    assert plain.model_dump() == Settings().model_dump()


def test_the_example_of_a_worker_file_loads() -> None:
    settings = load(environ={"WORKER_ID": "worker-001"}, folder=ROOT, config=Path("config"))
    assert settings.worker.max_tasks == 4
    assert settings.origin_of("worker.max_tasks") == "config/worker-001.json: capacity.maxConcurrentTasks"
