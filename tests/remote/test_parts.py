"""The parts below the remote store, each alone: what git says, what is killed, when to look."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import pytest

from sentinel.errors import ConfigurationError
from sentinel.store import git_process
from sentinel.store.base import ABSENT
from sentinel.store.git_answers import Pushed, judge_push, last_words
from sentinel.store.git_process import Ran, installed_git, run_group
from sentinel.store.high_water import HighWater
from sentinel.store.history import transaction_ids
from sentinel.store.pace import Pace
from sentinel.store.slots import take_slot
from sentinel.testing.clock import ManualClock
from sentinel.testing.workbench import landed, transaction
from tests.remote.bench import RemoteBench

REF = "refs/heads/sentinel/state"


def answered(line: str, err: str = "", *, status: int | None = 1) -> Ran:
    return Ran(status=status, out=f"To somewhere\n{line}\nDone\n".encode(), err=err)


@pytest.mark.parametrize(
    ("line", "err", "pushed"),
    [
        (f" \tabc:{REF}\tabc..def", "", Pushed.LANDED),
        (f"*\tabc:{REF}\t[new branch]", "", Pushed.LANDED),
        (f"=\tabc:{REF}\t[up to date]", "", Pushed.LANDED),
        (f"!\tabc:{REF}\t[rejected] (stale info)", "", Pushed.MOVED),
        (f"!\tabc:{REF}\t[remote rejected] (failed to update ref)", "", Pushed.MOVED),
        (
            f"!\tabc:{REF}\t[remote rejected] (cannot lock ref '{REF}': is at a but expected b)",
            "",
            Pushed.MOVED,
        ),
        (f"!\tabc:{REF}\t[remote rejected] (pre-receive hook declined)", "", Pushed.REFUSED),
        (f"!\tabc:{REF}\t[remote rejected] (hook declined)", "remote: cannot lock it", Pushed.REFUSED),
        (
            f"!\tabc:{REF}\t[remote rejected] (push declined due to repository rule violations)",
            "remote: error: GH013: Repository rule violations found",
            Pushed.REFUSED,
        ),
        (f"!\tabc:{REF}\t[remote rejected] (unpacker error)", "fatal: pack exceeds maximum", Pushed.REFUSED),
        (f"!\tabc:{REF}\t[remote rejected] (unpacker error)", "error: no space left", Pushed.FAILED),
        (f"!\tabc:{REF}\t[remote rejected] (Internal Server Error)", "", Pushed.FAILED),
        (f"!\tabc:{REF}\t[remote failure] (remote failed to report status)", "", Pushed.UNKNOWN),
        (" \tabc:refs/heads/other\tabc..def", "", Pushed.UNKNOWN),
        ("", "fatal: unable to access 'http://x/': Could not resolve host: x", Pushed.FAILED),
        ("", "fatal: unable to access 'http://x/': The requested URL returned error: 503", Pushed.FAILED),
        ("", "ssh: connect to host x port 22: Connection refused", Pushed.FAILED),
        ("", "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", Pushed.UNKNOWN),
        ("", "error: RPC failed; curl 7 Connection refused\nfatal: unable to access 'x'", Pushed.UNKNOWN),
        ("", "fatal: the remote end hung up unexpectedly", Pushed.UNKNOWN),
        ("", "remote: connection refused\nfatal: the remote end hung up unexpectedly", Pushed.UNKNOWN),
        ("", "something that nobody has seen before", Pushed.UNKNOWN),
    ],
)
def test_a_push_counts_as_not_applied_only_where_that_is_certain(line: str, err: str, pushed: Pushed) -> None:
    assert judge_push(answered(line, err), REF, repeated=False).pushed is pushed


def test_a_push_that_was_cut_off_is_open() -> None:
    ran = Ran(status=None, out=b"", err="fatal: unable to access 'x': Could not resolve host")
    assert judge_push(ran, REF, repeated=False).pushed is Pushed.UNKNOWN


def test_over_http_a_servers_no_may_be_for_the_second_copy() -> None:
    moved = answered(f"!\tabc:{REF}\t[remote rejected] (failed to update ref)")
    assert judge_push(moved, REF, repeated=True).pushed is Pushed.CONTESTED
    stale = answered(f"!\tabc:{REF}\t[rejected] (stale info)")
    assert judge_push(stale, REF, repeated=True).pushed is Pushed.MOVED


def test_what_git_says_is_shown_as_one_harmless_line() -> None:
    said = last_words("warning: x\nfatal: it is\x1b[31m broken\x00\u202e\nfatal: Could not read from remote")
    assert said == "it is [31m broken"


def test_a_note_cannot_forge_a_trailer() -> None:
    text = "Sentinel-Tx: a\n\nSentinel-Tx: b\n\nSentinel-Nonce: 00\nSentinel-Tx: real\n"
    assert transaction_ids(text) == {"real"}


def test_a_call_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 300 & echo $! > {tmp_path}/pid; wait"
    began = time.monotonic()
    ran = run_group(["sh", "-c", script], environ=os.environ, folder=tmp_path, timeout=1.0)
    assert ran.status is None
    assert time.monotonic() - began < 60
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the grandchild lives")


def program(folder: Path, text: str) -> dict[str, str]:
    (folder / "git").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "git").chmod(0o755)
    return {"PATH": str(folder)}


def test_without_git_or_with_an_old_one_the_remedy_is_told_b12(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="install git"):
        installed_git({"PATH": str(tmp_path)})
    with pytest.raises(ConfigurationError, match="too old"):
        installed_git(program(tmp_path, "echo git version 2.25.1"))


def test_the_users_git_configuration_changes_nothing_but_who_we_are(
    file_bench: RemoteBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "file:///nowhere"]\n\tinsteadOf = file://{file_bench.path}\n[push]\n\tfollowTags = true\n'
        "[fetch]\n\tprune = true\n[http]\n\textraHeader = X: secret\n[core]\n\tsshCommand = false\n"
    )
    file_bench.environ |= {"HOME": str(home), "GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere"}
    landed(file_bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert not any(
        "extraheader" in key.lower()
        for key, _ in git_process._users_known[
            (installed_git(file_bench.environ), str(home), file_bench.environ.get("XDG_CONFIG_HOME"))
        ]
    )


def test_a_slot_is_for_one_at_a_time_and_is_found_again(tmp_path: Path) -> None:
    one, two = take_slot(tmp_path), take_slot(tmp_path)
    assert [one.folder.name, two.folder.name] == ["0", "1"]
    one.close()
    one.close()
    again = take_slot(tmp_path)
    assert again.folder == one.folder
    assert again.ours
    again.close()
    two.close()


def test_a_slot_whose_folder_was_deleted_and_made_anew_is_ours_no_more(tmp_path: Path) -> None:
    slot = take_slot(tmp_path)
    (slot.folder / "lock").unlink()
    other = take_slot(tmp_path)
    assert (slot.ours, other.ours) == (False, True)
    slot.close()
    other.close()


def test_without_a_state_folder_nothing_stays_behind() -> None:
    slot = take_slot(None)
    (slot.folder / "x").touch()
    slot.close()
    assert not slot.folder.exists()


def test_the_mark_is_shared_and_survives(tmp_path: Path) -> None:
    HighWater(tmp_path).raise_to("a" * 40)
    assert HighWater(tmp_path).read() == "a" * 40
    (tmp_path / "newest-head").write_text("torn")
    assert HighWater(tmp_path).read() is None


def test_looks_become_rare_at_rest_and_frequent_after_news() -> None:
    pace, pauses = Pace(fastest=1.0, slowest=8.0), []
    for _ in range(12):
        pace.looked(moved=False)
        pauses.append(pace.pause)
    assert pauses[0] == 1.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 8.0
    pace.looked(moved=True)
    assert pace.pause == 1.0


def test_waiting_at_rest_asks_seldom(file_bench: RemoteBench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    store = file_bench.open(clock=clock)
    store.read()
    looks: list[float] = []
    here = file_bench.head()

    def look(ref: str) -> str:
        looks.append(clock.now())
        return here

    monkeypatch.setattr(store._mirror, "look", look)
    for _ in range(60):
        assert not store.wait(5.0)
    store.close()
    # Five minutes at a look every ten seconds, and a few more at the beginning.
    assert 20 <= len(looks) <= 60
    # Chance varies the pauses, so that many clients do not ask in step.
    pauses = [later - sooner for sooner, later in itertools.pairwise(looks)]
    assert len(set(pauses[-10:])) == 10


def test_a_lock_that_a_killed_git_left_in_a_mirror_stops_nobody(
    file_bench: RemoteBench, tmp_path: Path
) -> None:
    store = file_bench.open(folder=tmp_path / "mine")
    lock = tmp_path / "mine" / "mirrors" / "0" / "git" / "refs" / "fetched" / "state.lock"
    landed(file_bench.client(), transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    lock.touch()
    store.close()
    store = file_bench.open(folder=tmp_path / "mine")
    assert store.read().get("tasks/a") == {"format": 1}
    store.close()


def test_a_mirror_that_is_crowded_is_made_anew(
    file_bench: RemoteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentinel.store.mirror.MANY_OBJECTS", -1)
    monkeypatch.setattr("sentinel.store.mirror._LOOK_EVERY", 1)
    store = file_bench.client()
    landed(store, transaction({"tasks/a": ABSENT}, {"tasks/a": {}}))
    assert store.read().get("tasks/a") == {"format": 1}
    landed(store, transaction({"tasks/b": ABSENT}, {"tasks/b": {}}))


def test_one_fetch_brings_state_and_sessions(
    file_bench: RemoteBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = file_bench.open()
    store.publish("ab", {"seq": 1}, ABSENT)
    calls: list[str] = []
    read = store._mirror._read

    def count(*args, **options):  # type: ignore[no-untyped-def] # as `Mirror._read`
        calls.append(args[0])
        return read(*args, **options)

    monkeypatch.setattr(store._mirror, "_read", count)
    snapshot, registers = store.look()
    assert (snapshot.revision, list(registers)) == (file_bench.head(), ["ab"])
    assert calls == ["fetch"]
    store.close()


def test_a_store_for_one_host_is_not_opened_from_others_until_init_lets_them_in(tmp_path: Path) -> None:
    from sentinel.errors import NotAStore
    from sentinel.store.local import create_local, open_local
    from sentinel.store.opener import StoreOptions
    from sentinel.store.remote import open_remote
    from sentinel.store.remote_init import create_remote

    path, options = tmp_path / "fleet.git", StoreOptions(fsync=False)
    create_local(str(path), options)
    with pytest.raises(NotAStore, match="sentinel init --store git"):
        open_remote(f"git+file://{path}", options)
    local = open_local(str(path), options)
    assert create_remote(f"git+file://{path}", options, dry_run=True) != []
    assert create_remote(f"git+file://{path}", options) != []
    assert create_remote(f"git+file://{path}", options) == []
    with pytest.raises(NotAStore, match="use git"):
        local.read()
    local.close()
    with pytest.raises(NotAStore, match="use git"):
        open_local(str(path), options)
    open_remote(f"git+file://{path}", options).close()
