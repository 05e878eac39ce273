"""An order to start a run, as it goes from the daemon to whoever carries it out.

A `RunSpec` as two JSON objects with a tab between, which JSON never holds: what is the run's own, and what it
shares with all runs of its type. The second is the same bytes each time, so both sides make it once. The
supervisor imports this module.
"""

from __future__ import annotations

import functools
import json
import operator
from typing import Any

from sentinel.model.evolve import evolve
from sentinel.peer.run.spec import RunSpec

_OWN = ("run", "own", "stdin", "timeout", "log_path", "result_path", "progress_path", "lane")
_own = operator.attrgetter(*_OWN)
_shared = operator.attrgetter(*(name for name in RunSpec.__slots__ if name not in _OWN))
#: What was shared by specs with this environment and this argv, and its bytes. It keeps both alive.
_encoded: dict[tuple[int, int], tuple[tuple[Any, ...], bytes]] = {}
_MOST = 256


def encode_order(spec: RunSpec) -> bytes:
    """``spec`` as one line, without its end. What it is made of is not changed afterwards."""
    own = dict(zip(_OWN, _own(spec), strict=True))
    return json.dumps(own).encode() + b"\t" + _encode_shared(spec)


def _encode_shared(spec: RunSpec) -> bytes:
    # Runs of one lane share the very objects; those of a command have an argv of their own each.
    place = (id(spec.env), id(spec.argv))
    values = _shared(spec)
    known = _encoded.get(place)
    if known is None or known[0] != values:
        shared = {name: value for name, value in spec.to_json().items() if name not in _OWN}
        known = (values, json.dumps(shared).encode())
        if spec.lane is not None:
            if len(_encoded) >= _MOST:
                _encoded.clear()
            _encoded[place] = known
    return known[1]


def decode_order(data: bytes) -> RunSpec:
    """What `encode_order` made ``data`` of. Raises `TypeError` and `ValueError` for what is no order."""
    own, _, shared = data.partition(b"\t")
    return evolve(_decode_shared(shared), **json.loads(own))


@functools.lru_cache(maxsize=64)
def _decode_shared(data: bytes) -> RunSpec:
    return RunSpec.from_json({"run": "", "log_path": "", **json.loads(data)})


def run_of(data: bytes) -> str:
    """The name of the run in an order."""
    return str(json.loads(data.partition(b"\t")[0])["run"])
