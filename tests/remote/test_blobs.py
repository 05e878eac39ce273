"""Large blobs on a line that loses the replies to pushes all the time."""

from __future__ import annotations

import pytest

from sentinel.errors import Unavailable
from tests.remote.conftest import MakeBench
from tests.remote.proxy import Fault, Proxy


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER_EFFECT, Fault.BAD_GATEWAY_AFTER_EFFECT])
def test_blobs_are_kept_although_no_push_is_ever_answered(
    make_http_bench: MakeBench, http_proxy: Proxy, fault: Fault
) -> None:
    bench = make_http_bench(http_proxy.port)
    store = bench.client()
    http_proxy.set(fault)
    (first,) = store.keep([b"the first"])
    (second,) = store.keep([b"the second"])
    assert http_proxy.met >= 2
    http_proxy.set(None)
    reader = bench.client()
    assert (reader.kept(first), reader.kept(second)) == (b"the first", b"the second")


def test_blobs_that_did_not_arrive_are_unavailable_and_can_be_kept_again(
    make_http_bench: MakeBench, http_proxy: Proxy
) -> None:
    store = make_http_bench(http_proxy.port).client()
    http_proxy.set(Fault.RESET_BEFORE_EFFECT)
    with pytest.raises(Unavailable, match="could not be kept"):
        store.keep([b"a log"])
    http_proxy.set(None)
    assert store.kept(store.keep([b"a log"])[0]) == b"a log"
