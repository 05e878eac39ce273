"""Meter fleets on an emulated GitHub in virtual time, and compare with what `sentinel budget` predicts.

The daemons, their duties and the API's client are the product's own. Git is the simulator's store, in which a
commit, a beat and stored outputs are a push each, and a look is a read.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.arguments import amount, count, new_file
from sentinel.github.budget import Allowance, Kind, forecast
from sentinel.github.place import locate
from sentinel.testing.simulation.economy import Economy
from tests.github.economy import BASE, GitHub, bill
from tests.github.emulator import OWNER, REPO, USERS, Emulator, aliases, token
from tests.github.proxy import proxy as running_proxy

#: Workers and tasks an hour that are measured unless told otherwise.
FLEETS = ("10,0", "5,200", "10,100", "30,100", "100,100")
ROUND_TRIP = 0.5


def a_fleet(text: str) -> tuple[int, float]:
    """Workers, and tasks an hour."""
    workers, comma, tasks = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"{text!r} is not workers and tasks an hour, such as 5,200")
    return count(workers), 0.0 if tasks == "0" else amount(tasks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/measure-github", description=__doc__)
    parser.add_argument(
        "fleets",
        nargs="*",
        type=a_fleet,
        default=[a_fleet(fleet) for fleet in FLEETS],
        metavar="N,T",
        help=f"workers,tasks an hour (default: {' '.join(FLEETS)})",
    )
    parser.add_argument("--api", action="store_true", help="github+api:// instead of github://")
    parser.add_argument("--minutes", type=amount, default=60.0, help="virtual minutes (default: 60)")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    tools = Path(__file__).with_name("github-tools")
    found = subprocess.run([str(tools)], stdout=subprocess.PIPE, text=True, check=True)
    emulator = Emulator(Path(found.stdout.split()[-1]))
    kind: Kind = "github+api" if options.api else "github"
    rows = []
    try:
        tokens = {token(login): login for login in USERS}
        with running_proxy(emulator.port, tokens, aliases) as proxy:
            environ = {**os.environ, "GITHUB_API_URL": proxy.url, "GITHUB_TOKEN": token("robot")}
            place = locate(f"github+api://{OWNER}/{REPO}", environ)
            for workers, tasks in options.fleets:
                emulator.reset()
                proxy.reset()
                hub = GitHub(emulator, proxy, place, environ, kind)
                row = measure(hub, kind, workers, tasks, options.minutes)
                rows.append(row)
                print(json.dumps(row), flush=True)
    finally:
        emulator.close()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["refused"] == 0 for row in rows) else 1


def measure(hub: GitHub, kind: Kind, workers: int, tasks: float, minutes: float) -> dict[str, float | str]:
    """The figures of one fleet: metered, and predicted."""
    told = forecast(kind, BASE, workers=workers, tasks_an_hour=tasks, allowed=Allowance())
    # They join one after another; and two rounds of beats, so that everybody knows how many they are.
    joining = 1.2 * workers * told.rhythm.joins / 60.0
    gathering = max(15.0, joining + 3 * told.rhythm.times.interval / 60.0)
    found = bill(hub, Economy(workers=workers, tasks_an_hour=tasks, minutes=minutes, gathering=gathering))
    return {
        "kind": kind,
        "workers": workers,
        "tasks_an_hour": tasks,
        "ttl": round(told.rhythm.times.stale, 1),
        "bound": round(told.bound(ROUND_TRIP), 1),
        "pushes_a_minute": round(found.git.pushes_a_minute, 3),
        "pushes_predicted": round(told.pushes_a_minute, 3),
        "worst_minute": found.git.worst_minute,
        "reads_a_second": round(found.git.reads_a_second, 3),
        "reads_predicted": round(told.reads_a_second, 3),
        "charged_an_hour": round(found.charged_an_hour, 1),
        "charged_predicted": round(told.requests_an_hour, 1),
        "points_a_minute": round(found.points_a_minute, 2),
        "points_predicted": round(told.points_a_minute, 2),
        "contents_an_hour": round(found.contents_an_hour, 1),
        "contents_predicted": round(told.contents_an_hour, 1),
        "refused": found.refused,
        "ended": found.git.ended,
        "mean_latency": round(found.git.mean_latency, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
