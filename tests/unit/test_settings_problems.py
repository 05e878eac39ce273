"""Bad values and names (B7): every problem at once, each naming file, variable or flag, and the key."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import ConfigurationError
from sentinel.settings import Settings, load

SHARED = "config/shared.json"


def write(folder: Path, name: str, content: Any) -> None:
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        place.write_bytes(content)
    else:
        place.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def problems(
    folder: Path, environ: dict[str, str] | None = None, config: Path | None = None, **flags: object
) -> list[str]:
    """The problems of a configuration that must have some."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    with pytest.raises(ConfigurationError) as caught:
        load(dotted, environ=environ or {}, folder=folder, config=config)
    assert caught.value.exit_status == 78
    assert all("\n" not in problem for problem in caught.value.problems)
    return list(caught.value.problems)


def short(value: object) -> str:
    """A test id from a parameter that may be huge."""
    return ascii(value)[:40]


def nest(key: str, value: Any) -> dict[str, Any]:
    for name in reversed(key.split(".")):
        value = {name: value}
    return dict(value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("distributed.heartbeat.intervalMS", "distributed.heartbeat.intervalMs"),
        ("distributed.heartbeat.interval", "distributed.heartbeat.intervalMs"),
        ("distributed.heartbeats", "distributed.heartbeat"),
        ("distributed.locking.ttlSecond", "distributed.locking.ttlSeconds"),
        ("heartbeat", "distributed.heartbeat"),
        ("memorySync", "distributed.memorySync"),
        ("maxConcurrentTasks", "capacity.maxConcurrentTasks"),
        ("execution.output_limit_bytes", "execution.outputLimitBytes"),
        ("tasks.command", "tasks.commands"),
        ("metadata.Region", "metadata.region"),
    ],
)
def test_an_unknown_key_names_the_nearest_valid_one(tmp_path: Path, key: str, nearest: str) -> None:
    write(tmp_path, SHARED, nest(key, {}))
    assert problems(tmp_path) == [f"{SHARED}: {key} is no setting; did you mean {nearest}?"]


def test_an_unknown_key_that_is_near_to_nothing_names_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {"local": {"zzz": 1}})
    assert problems(tmp_path) == [f"{SHARED}: local.zzz is no setting; known here: fsync"]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "distributed.heartbeat.intervalMs",
            "soon",
            'a number of milliseconds from 100 to 3,600,000, not "soon"',
        ),
        (
            "distributed.heartbeat.intervalMs",
            "5000",
            'a number of milliseconds from 100 to 3,600,000, not "5000"',
        ),
        (
            "distributed.heartbeat.intervalMs",
            True,
            "a number of milliseconds from 100 to 3,600,000, not true",
        ),
        ("distributed.heartbeat.intervalMs", 5, "a number of milliseconds from 100 to 3,600,000, not 5"),
        ("distributed.heartbeat.recoveryEnabled", "yes", 'true or false, not "yes"'),
        ("distributed.locking.ttlSeconds", 4, "a number of seconds from 5 to 86,400, not 4"),
        ("distributed.locking.ttlSeconds", None, "a number of seconds from 5 to 86,400, not null"),
        ("distributed.locking.retryAttempts", 1.5, "a whole number from 0 to 100, not 1.5"),
        ("distributed.loadBalancer.strategy", "Least Loaded", "an id: lower-case letters and digits"),
        ("distributed.loadBalancer.options", [], "an object, not []"),
        ("distributed.loadBalancer.options.startIndex", -1, "at least 0, not -1"),
        ("distributed.loadBalancer.options.considerCapacity", 1, "true or false, not 1"),
        ("distributed.memorySync.cacheSize", -1, "a whole number of values from 0 to 1,000,000, not -1"),
        ("tasks.defaults.timeoutSeconds", 0, "a number of seconds from 0.1 to 604,800, not 0"),
        ("tasks.defaults.timeoutSeconds", 1e9, "a number of seconds from 0.1 to 604,800, not 1000000000.0"),
        ("tasks.defaults.retries", -1, "a whole number from 0 to 100, not -1"),
        ("tasks.commands", None, "an object of command templates, not null"),
        ("tasks.modules", "a,b", "names of modules (in the environment separated by commas), not "),
        ("capacity.maxConcurrentTasks", 0, "a whole number of tasks from 1 to 1,000, not 0"),
        ("log.level", "loud", 'debug, info, warning or error, not "loud"'),
        ("state.folder", 5, "a path, not 5"),
        ("store", 5, "a path or a store URL, not 5"),
    ],
    ids=short,
)
def test_a_wrong_value_names_what_it_must_be_in_the_unit_of_the_file(
    tmp_path: Path, key: str, value: Any, expected: str
) -> None:
    write(tmp_path, SHARED, nest(key, value))
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{SHARED}: {key} must be {expected}")


@pytest.mark.parametrize(
    ("key", "value", "where", "expected"),
    [
        ("capacity.supportedTaskTypes", ["a", "B b"], "[1]", "must be an id"),
        ("execution.passEnv", ["LANG", "B-B"], "[1]", "must be the name of an environment variable"),
        ("tasks.commands", {"No No": {"argv": ["x"]}}, ".No No", "must be an id"),
        ("tasks.commands", {"no": {}}, ".no", 'must have "argv", a list of texts'),
        ("tasks.commands", {"no": {"argv": "ls -l"}}, ".no", 'must have "argv", a list of texts'),
        ("metadata.region", "a\x1b[2J", "", "must not hold control characters"),
        ("metadata.region", "a\u202eb", "", "must not hold control characters or direction marks"),
        ("metadata.region", " ", "", "must not be empty"),
        ("metadata.region", "x" * 3000, "", "must not be longer than 2048 characters"),
        ("state.folder", "~/state", "", "begins with ~, which only shells expand"),
    ],
    ids=short,
)
def test_a_value_that_breaks_a_rule_names_the_rule(
    tmp_path: Path, key: str, value: Any, where: str, expected: str
) -> None:
    write(tmp_path, SHARED, nest(key, value))
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{SHARED}: {key}{where} {expected}")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SENTINEL_HEARTBEAT_INTERVAL", "soon", 'a number of seconds from 0.1 to 3,600, not "soon"'),
        ("SENTINEL_HEARTBEAT_INTERVAL", "nan", 'a number of seconds from 0.1 to 3,600, not "nan"'),
        ("SENTINEL_LOCKING_TTL", "0", 'a number of seconds from 5 to 86,400, not "0"'),
        ("WORKER_MAX_TASKS", "2.5", 'a whole number of tasks from 1 to 1,000, not "2.5"'),
        ("MAX_WORKERS", "many", 'a whole number of tasks from 1 to 1,000, not "many"'),
        ("SENTINEL_FAILOVER_LOCAL_PROOF", "never", '1 or 0 (or true, false, yes, no, on, off), not "never"'),
        ("WORKER_ID", "../../etc/passwd", "an id: lower-case letters and digits"),
    ],
)
def test_a_wrong_variable_names_itself_and_what_it_must_be_in_its_own_unit(
    tmp_path: Path, name: str, value: str, expected: str
) -> None:
    (problem,) = problems(tmp_path, {name: value})
    assert problem.startswith(f"environment {name} must be {expected}")
    write(tmp_path, ".env", f"# first\n{name}={value}\n")
    (problem,) = problems(tmp_path)
    assert problem.startswith(f".env:2: {name} must be {expected}")


def test_a_wrong_flag_names_itself(tmp_path: Path) -> None:
    assert problems(tmp_path, worker__max_tasks=0) == [
        "flag --max-tasks must be a whole number of tasks from 1 to 1,000, not 0"
    ]


def test_a_wrong_value_is_a_problem_even_where_it_is_overridden(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("capacity.maxConcurrentTasks", 0))
    assert len(problems(tmp_path, {"WORKER_MAX_TASKS": "5"})) == 1


@pytest.mark.parametrize(
    ("interval", "stale"),
    [(5000, 10000), (1000, 2000), (1000, 4000)],
    ids=["ratio", "ratio", "no time to stop"],
)
def test_intervals_that_cannot_be_safe_are_a_problem_that_names_both_keys(
    tmp_path: Path, interval: int, stale: int
) -> None:
    write(
        tmp_path, SHARED, nest("distributed.heartbeat", {"intervalMs": interval, "staleThresholdMs": stale})
    )
    (problem,) = problems(tmp_path)
    assert problem.startswith(
        f"{SHARED}: distributed.heartbeat.intervalMs and {SHARED}: distributed.heartbeat.staleThresholdMs: "
    )


def test_one_second_with_five_is_safe_on_a_local_store(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("distributed.heartbeat", {"intervalMs": 1000, "staleThresholdMs": 5000}))
    assert load({"store": "fleet.git"}, environ={}, folder=tmp_path).lease("local").stale == 5


def test_an_interval_is_checked_against_the_default_for_the_store_in_force(tmp_path: Path) -> None:
    environ = {"SENTINEL_HEARTBEAT_INTERVAL": "5"}
    (problem,) = problems(tmp_path, environ, store="fleet.git")
    assert problem.startswith("environment SENTINEL_HEARTBEAT_INTERVAL: a stale threshold of 10 s")
    assert problem.endswith("(heartbeat.stale_threshold is not set and has its default for a local store)")
    assert load({"store": "git+ssh://host/x"}, environ=environ, folder=tmp_path).lease("remote").stale == 120


def test_a_misspelt_threshold_is_not_also_reported_as_an_unsafe_default(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("distributed.heartbeat", {"intervalMs": 5000, "staleThresholdMS": 20000}))
    assert len(problems(tmp_path, store="fleet.git")) == 1


def test_a_store_on_github_and_the_repository_that_is_set_must_agree(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {"store": "github://octo/fleet", "github": {"owner": "octo", "repo": "other"}})
    assert problems(tmp_path) == [
        f"{SHARED}: github.repo and {SHARED}: store name different repositories; make the two agree"
    ]


def test_what_only_a_user_of_the_settings_sees_is_a_problem_beside_the_others(tmp_path: Path) -> None:
    def examine(settings: Settings) -> list[str]:
        return [f"{settings.origin_of(f'tasks.commands.{name}')}: odd" for name in settings.tasks.commands]

    commands = {"bad": {"argv": ["ls"]}, "worse": {"argv": 5}}
    write(tmp_path, SHARED, {"tasks": {"commands": commands}, "log": {"level": "loud"}})
    with pytest.raises(ConfigurationError) as caught:
        load(environ={}, folder=tmp_path, examine=examine)
    assert len(caught.value.problems) == 3
    assert f"{SHARED}: tasks.commands.bad: odd" in caught.value.problems


def test_a_section_that_the_guide_shows_alone_may_not_stand_twice(tmp_path: Path) -> None:
    write(
        tmp_path,
        SHARED,
        {
            "loadBalancer": {"strategy": "affinity"},
            "distributed": {"loadBalancer": {"strategy": "round_robin"}},
        },
    )
    assert problems(tmp_path) == [
        f"{SHARED}: distributed.loadBalancer.strategy and {SHARED}: loadBalancer.strategy set the same; "
        "keep one of them"
    ]


def test_an_option_that_no_built_in_balancer_has_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, SHARED, nest("distributed.loadBalancer.options.considersCapacity", True))
    assert problems(tmp_path) == [
        f"{SHARED}: distributed.loadBalancer.options.considersCapacity is no option of a built-in balancer; "
        "did you mean considerCapacity?"
    ]


def test_a_balancer_of_somebody_else_may_have_options_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        SHARED,
        nest("distributed.loadBalancer", {"strategy": "by-moon", "options": {"phase": "full"}}),
    )
    assert load(environ={}, folder=tmp_path).load_balancer.options == {"phase": "full"}


def test_every_problem_of_every_source_is_reported_in_one_go(tmp_path: Path) -> None:
    write(tmp_path, ".env", "MAX_WORKERS=x\n")
    write(tmp_path, SHARED, '{"lokal": {}, "log": {"level": "loud"}, "store": "${NOWHERE}", "state": 5}')
    write(tmp_path, "config/w1.json", "{")
    found = problems(tmp_path, {"SENTINEL_LOCKING_TTL": "1"}, worker__id="w1", worker__max_tasks=0)
    places = [
        "flag --max-tasks",
        "environment SENTINEL_LOCKING_TTL",
        ".env:1: MAX_WORKERS",
        "config/w1.json: not",
    ]
    places += [f"{SHARED}: {key}" for key in ("lokal", "log.level", "store", "state")]
    assert len(found) == len(places)
    assert all(any(problem.startswith(place) for problem in found) for place in places)


def test_a_secret_is_in_no_problem(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {"github": {"token": ["s3cret"]}, "store": "git+https://me:s3cret@host/x"})
    found = problems(tmp_path, {"SENTINEL_STORE": "git+https://s3cret:s3cret@host/x"})
    assert len(found) == 3
    assert not any("s3cret" in problem for problem in found)


def test_a_token_that_was_put_where_an_object_belongs_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {"github": "s3cret"})
    assert problems(tmp_path) == [f"{SHARED}: github must be an object, in braces"]


def test_a_token_that_is_written_out_in_a_file_gives_a_warning(tmp_path: Path) -> None:
    write(tmp_path, SHARED, {"github": {"token": "s3cret"}})
    assert load(environ={}, folder=tmp_path).warnings == (
        f"{SHARED}: github.token is a secret in a file; put it into GITHUB_TOKEN instead",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SENTINEL_STOR", "; did you mean SENTINEL_STORE?"),
        ("SENTINEL_HEARTBEAT_INTERVALL", "; did you mean SENTINEL_HEARTBEAT_INTERVAL?"),
        ("SENTINEL_WORKER_MAX_TASKS", "; did you mean WORKER_MAX_TASKS?"),
        ("SENTINEL_GITHUB_TOKEN", "; did you mean GITHUB_TOKEN?"),
        ("SENTINEL_MOON_PHASE", ""),
    ],
)
def test_an_unknown_variable_of_ours_gives_a_warning_with_the_nearest(
    tmp_path: Path, name: str, expected: str
) -> None:
    settings = load(environ={name: "x"}, folder=tmp_path)
    assert settings.warnings == (f"environment {name} is no setting and was ignored{expected}",)


def test_what_a_task_is_given_in_its_environment_gives_no_warning(tmp_path: Path) -> None:
    names = ("SENTINEL_TASK_ID", "SENTINEL_FENCING_TOKEN", "SENTINEL_IDEMPOTENCY_KEY")
    assert load(environ=dict.fromkeys(names, "x"), folder=tmp_path).warnings == ()


def test_a_strategy_that_looks_misspelt_gives_a_warning(tmp_path: Path) -> None:
    settings = load(environ={"SENTINEL_LOAD_BALANCER_STRATEGY": "least_loded"}, folder=tmp_path)
    assert settings.warnings == (
        "environment SENTINEL_LOAD_BALANCER_STRATEGY is no built-in balancer; did you mean least_loaded?",
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["distributed", "heartbeat", "intervalMs", "tasks", "commands", "argv", "store", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_either_loaded_or_refused_as_configuration(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("settings", numbered=True)
    write(folder, SHARED, value)
    with contextlib.suppress(ConfigurationError):
        load(environ={}, folder=folder)
