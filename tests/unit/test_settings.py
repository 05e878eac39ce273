"""What the settings are once they are loaded: precedence, origins, units, the two files, the lease."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sentinel.errors import ConfigurationError
from sentinel.settings import Heartbeat, Settings, load, store_kind
from tests import guide


def write(folder: Path, name: str, content: Any) -> Path:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return place


def region(text: str) -> dict[str, Any]:
    return {"metadata": {"region": text}}


#: From the strongest to the weakest: how each layer sets the region, and what is then said of it.
LAYERS = ["flag", "environment", ".env", "worker file", "shared file", "default"]


@pytest.mark.parametrize("strongest", range(len(LAYERS)), ids=LAYERS)
def test_the_strongest_layer_that_has_a_value_wins_and_is_named_as_its_origin(
    tmp_path: Path, strongest: int
) -> None:
    there = set(LAYERS[strongest:])
    flags: dict[str, object] = {"worker.region": "r-flag" if "flag" in there else None}
    environ = {"WORKER_ID": "w1", **({"WORKER_REGION": "r-environment"} if "environment" in there else {})}
    if ".env" in there:
        write(tmp_path, ".env", "# mine\n\nWORKER_REGION=r-dotenv\n")
    if "worker file" in there:
        write(tmp_path, "config/w1.json", region("r-worker"))
    if "shared file" in there:
        write(tmp_path, "config/shared.json", region("r-shared"))
    settings = load(flags, environ=environ, folder=tmp_path)
    assert (settings.worker.region, settings.origin_of("worker.region")) == [
        ("r-flag", "flag --region"),
        ("r-environment", "environment WORKER_REGION"),
        ("r-dotenv", ".env:3"),
        ("r-worker", "config/w1.json: metadata.region"),
        ("r-shared", "config/shared.json: metadata.region"),
        (None, "default"),
    ][strongest]


def test_without_files_and_variables_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(environ={}, folder=tmp_path)
    assert settings.model_dump() == Settings().model_dump()
    assert (settings.warnings, settings.files) == ((), ())


def test_the_defaults_are_those_of_the_guide(tmp_path: Path) -> None:
    settings = load(environ={}, folder=tmp_path)
    assert (settings.locking.ttl, settings.locking.retry_attempts, settings.locking.retry_delay) == (
        300,
        3,
        1,
    )
    assert (settings.memory_sync.interval, settings.memory_sync.cache_size) == (5, 1000)
    assert (settings.load_balancer.strategy, settings.load_balancer.rebalance_interval) == (
        "least_loaded",
        60,
    )
    assert settings.tasks.defaults.timeout == 300


def test_the_files_of_the_guide_load_unchanged_on_a_local_store(tmp_path: Path) -> None:
    write(tmp_path, "config/shared.json", guide.SHARED)
    write(tmp_path, "config/worker-001.json", guide.WORKERS["worker-001"])
    settings = load({"store": "fleet.git"}, environ={"WORKER_ID": "worker-001"}, folder=tmp_path)
    assert (settings.heartbeat.interval, settings.heartbeat.stale_threshold) == (30, 120)
    assert (settings.github.owner, settings.github.repo, settings.github.token) == (None, None, None)
    assert settings.worker.hostname == "server-1.example.com"
    assert settings.worker.types == ("build", "test", "deploy")
    assert (settings.worker.max_tasks, settings.worker.cpu_cores, settings.worker.memory_mb) == (10, 8, 16384)
    assert (settings.worker.region, settings.worker.environment) == ("us-east-1", "production")
    assert settings.files == ("config/shared.json", "config/worker-001.json")
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("round_robin", {"startIndex": 0}),
        ("least_loaded", {"considerCapacity": True}),
        ("capacity_based", {"weightByCpu": True, "weightByMemory": True}),
        ("affinity", {"affinityKey": "project_id", "fallbackStrategy": "least_loaded"}),
    ],
)
def test_each_balancer_of_the_guide_loads_as_it_stands_there(
    tmp_path: Path, strategy: str, options: dict[str, Any]
) -> None:
    write(tmp_path, "config/shared.json", {"loadBalancer": {"strategy": strategy, "options": options}})
    settings = load(environ={}, folder=tmp_path)
    assert (settings.load_balancer.strategy, settings.load_balancer.options) == (strategy, options)
    assert settings.warnings == ()


def test_the_files_of_the_guide_take_the_names_of_github_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path, "config/shared.json", guide.SHARED)
    environ = {"GITHUB_OWNER": "octo", "GITHUB_REPO": "fleet", "GITHUB_TOKEN": "s3cret"}
    settings = load({"store": "github://octo/fleet"}, environ=environ, folder=tmp_path)
    assert (settings.github.owner, settings.github.repo) == ("octo", "fleet")
    assert settings.github.token is not None
    assert settings.github.token.get_secret_value() == "s3cret"


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("WORKER_ID", "w-1", "worker.id", "w-1"),
        ("WORKER_HOSTNAME", "server-1.example.com", "worker.hostname", "server-1.example.com"),
        ("WORKER_MAX_TASKS", "20", "worker.max_tasks", 20),
        ("WORKER_REGION", "eu-west-1", "worker.region", "eu-west-1"),
        ("SUPPORTED_TASK_TYPES", " build, compile ,", "worker.types", ("build", "compile")),
        ("GITHUB_OWNER", "octo", "github.owner", "octo"),
        ("GITHUB_REPO", "fleet", "github.repo", "fleet"),
        ("SENTINEL_STORE", "file:///srv/fleet.git", "store", "file:///srv/fleet.git"),
        ("SENTINEL_HEARTBEAT_INTERVAL", "2.5", "heartbeat.interval", 2.5),
        ("SENTINEL_HEARTBEAT_STALE_THRESHOLD", "20", "heartbeat.stale_threshold", 20.0),
        ("SENTINEL_LOCKING_TTL", "60", "locking.ttl", 60.0),
        ("SENTINEL_LOCKING_RETRY_DELAY", "0.5", "locking.retry_delay", 0.5),
        ("SENTINEL_LOAD_BALANCER_STRATEGY", "affinity", "load_balancer.strategy", "affinity"),
        ("SENTINEL_FAILOVER_LOCAL_PROOF", "0", "failover.local_proof", False),
        ("SENTINEL_LOCAL_FSYNC", "off", "local.fsync", False),
        ("SENTINEL_TASKS_SHELL", "False", "tasks.shell", False),
        ("SENTINEL_TASKS_MODULES", "a.b,c", "tasks.modules", ("a.b", "c")),
        ("SENTINEL_TASKS_DEFAULTS_RETRIES", "2", "tasks.defaults.retries", 2),
        ("SENTINEL_EXECUTION_GRACE", "0", "execution.grace", 0.0),
        ("SENTINEL_EXECUTION_PASS_ENV", "LANG,TZ", "execution.pass_env", ("LANG", "TZ")),
        ("SENTINEL_RETENTION_DAYS", "30", "retention.days", 30),
        ("SENTINEL_STATE_FOLDER", "/var/lib/x", "state.folder", Path("/var/lib/x")),
        ("SENTINEL_LOG_LEVEL", "WARN", "log.level", "warning"),
        ("MAX_WORKERS", "4", "worker.max_tasks", 4),
        ("TASK_TIMEOUT", "30", "tasks.defaults.timeout", 30.0),
        ("LOG_LEVEL", "DEBUG", "log.level", "debug"),
    ],
)
def test_a_variable_sets_its_value(tmp_path: Path, name: str, value: str, key: str, expected: object) -> None:
    settings = load(environ={name: value}, folder=tmp_path)
    found: object = settings
    for part in key.split("."):
        found = getattr(found, part)
    assert found == expected
    assert settings.origin_of(key) == f"environment {name}"


def test_our_own_name_counts_before_the_other_one_that_is_accepted(tmp_path: Path) -> None:
    settings = load(environ={"MAX_WORKERS": "4", "WORKER_MAX_TASKS": "7"}, folder=tmp_path)
    assert settings.worker.max_tasks == 7


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    write(tmp_path, ".env", "WORKER_REGION=here\nWORKER_ID=\n")
    settings = load(environ={"WORKER_REGION": ""}, folder=tmp_path)
    assert (settings.worker.region, settings.worker.id) == ("here", None)


def test_the_environment_of_the_process_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_STORE", "elsewhere.git")
    monkeypatch.setenv("STORE", "elsewhere.git")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "config/shared.json", {"store": "elsewhere.git"})
    assert load(environ={}, folder=tmp_path / "other").store is None
    assert Settings().store is None


def test_command_tasks_of_the_two_files_are_merged_by_type(tmp_path: Path) -> None:
    write(
        tmp_path,
        "config/shared.json",
        {"tasks": {"commands": {"a": {"argv": ["a"]}, "b.c": {"argv": ["b"]}}}},
    )
    write(tmp_path, "config/w1.json", {"tasks": {"commands": {"d": {"argv": ["d"]}, "a": {"argv": ["a"]}}}})
    settings = load(environ={"WORKER_ID": "w1"}, folder=tmp_path)
    assert settings.tasks.commands == {"a": {"argv": ["a"]}, "b.c": {"argv": ["b"]}, "d": {"argv": ["d"]}}
    assert settings.origin_of("tasks.commands.b.c") == "config/shared.json: tasks.commands.b.c"
    assert settings.origin_of("tasks.commands.d") == "config/w1.json: tasks.commands.d"


def test_null_in_the_worker_file_takes_a_limit_of_the_shared_file_away(tmp_path: Path) -> None:
    write(tmp_path, "config/shared.json", {"execution": {"processLimit": 10}})
    write(tmp_path, "config/w1.json", {"execution": {"processLimit": None}})
    assert load(environ={"WORKER_ID": "w1"}, folder=tmp_path).execution.process_limit is None


@pytest.mark.parametrize("named", ["fleet", "fleet/shared.json"], ids=["folder", "file"])
@pytest.mark.parametrize("how", ["flag", "environment", ".env"])
def test_the_shared_file_can_be_named_or_its_folder(tmp_path: Path, named: str, how: str) -> None:
    write(tmp_path, "fleet/shared.json", region("there"))
    write(tmp_path, "fleet/w1.json", {"capacity": {"maxConcurrentTasks": 3}})
    write(tmp_path, "config/shared.json", region("not this one"))
    if how == ".env":
        write(tmp_path, ".env", f"SENTINEL_CONFIG={named}\n")
    environ = {"WORKER_ID": "w1", **({"SENTINEL_CONFIG": named} if how == "environment" else {})}
    settings = load(environ=environ, folder=tmp_path, config=Path(named) if how == "flag" else None)
    assert (settings.worker.region, settings.worker.max_tasks) == ("there", 3)


def test_a_worker_file_counts_even_when_there_is_no_shared_file(tmp_path: Path) -> None:
    write(tmp_path, "config/w1.json", region("there"))
    assert load({"worker.id": "w1"}, environ={}, folder=tmp_path).worker.region == "there"


def test_a_folder_called_dotenv_is_somebodys_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load(environ={}, folder=tmp_path).files == ()


def test_a_flag_of_another_program_is_a_bug_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load({"worker.colour": "blue"}, environ={}, folder=tmp_path)


def test_asking_for_the_origin_of_what_is_no_setting_is_a_bug_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Settings().origin_of("worker.colour")


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.store = "x"
    with pytest.raises(ValidationError):
        settings.worker.id = "x"


def test_owner_and_repository_of_the_guide_name_the_store_where_nothing_else_does(tmp_path: Path) -> None:
    environ = {"GITHUB_OWNER": "octo", "GITHUB_REPO": "fleet"}
    settings = load(environ=environ, folder=tmp_path)
    assert (settings.store, settings.origin_of("store")) == (
        "github://octo/fleet",
        "environment GITHUB_OWNER and environment GITHUB_REPO",
    )
    assert settings.store_kind == "remote"


def test_a_store_that_is_named_counts_before_owner_and_repository(tmp_path: Path) -> None:
    environ = {"GITHUB_OWNER": "octo", "GITHUB_REPO": "fleet", "SENTINEL_STORE": "fleet.git"}
    assert load(environ=environ, folder=tmp_path).store == "fleet.git"


@pytest.mark.parametrize("name", ["GITHUB_OWNER", "GITHUB_REPO"])
def test_one_of_owner_and_repository_names_no_store(tmp_path: Path, name: str) -> None:
    assert load(environ={name: "octo"}, folder=tmp_path).store is None


def test_without_its_token_the_store_that_owner_and_repository_name_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "config/shared.json", {"github": guide.SHARED["github"]})
    with pytest.raises(ConfigurationError, match=r"github.token refers to \$\{GITHUB_TOKEN\}"):
        load(environ={"GITHUB_OWNER": "octo", "GITHUB_REPO": "fleet"}, folder=tmp_path)


def test_a_held_lock_is_tried_for_as_the_guide_has_it() -> None:
    assert Settings().locking.patience == 3.0


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("fleet.git", "local"),
        ("/srv/fleet.git", "local"),
        ("file:///srv/fleet.git", "local"),
        ("memory:", "local"),
        ("git+file:///srv/fleet.git", "remote"),
        ("git+ssh://host/fleet.git", "remote"),
        ("git+https://host/fleet.git", "remote"),
        ("github://octo/fleet", "remote"),
        ("github+api://octo/fleet", "remote"),
    ],
)
def test_the_kind_of_a_store_follows_from_its_url(url: str, kind: str) -> None:
    assert store_kind(url) == kind
    assert Settings(store=url).store_kind == kind


def test_heartbeat_defaults_depend_on_the_kind_of_store() -> None:
    local, remote = Settings().lease("local"), Settings().lease("remote")
    assert (local.interval, local.stale) == (2, 10)
    assert (remote.interval, remote.stale) == (30, 120)


def test_a_heartbeat_that_is_set_counts_for_either_kind_of_store() -> None:
    lease = Settings(heartbeat=Heartbeat(interval=1, stale_threshold=5)).lease("remote")
    assert (lease.interval, lease.stale) == (1, 5)


def test_an_unsafe_lease_of_settings_made_in_python_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"^heartbeat\.interval: a stale threshold of 10 s"):
        Settings(heartbeat=Heartbeat(interval=5)).lease("local")


def secrets_shown(settings: Settings) -> Mapping[str, str]:
    return {"repr": repr(settings), "str": str(settings), "json": settings.model_dump_json()}


def test_a_token_is_never_printed(tmp_path: Path) -> None:
    settings = load(environ={"GITHUB_TOKEN": "s3cret"}, folder=tmp_path)
    assert not any("s3cret" in text for text in secrets_shown(settings).values())
