"""How requests get to the store and replies come back, or not."""

from __future__ import annotations

import dataclasses
import random
from typing import Literal, NamedTuple

#: Whether a request was garbled before or after the store did it.
Garbled = Literal["before", "after"]


@dataclasses.dataclass(slots=True, kw_only=True)
class Weather:
    """What holds for all links now; the faults change it while the simulation runs."""

    #: Seconds that a message takes at least, and on the average beyond that.
    latency: tuple[float, float] = (0.002, 0.02)
    #: The store refuses every connection until then (true time).
    down_until: float = 0.0
    #: Chance that a request is certainly not applied.
    refused: float = 0.0
    #: Everybody has asked too often: every request is turned away until then (true time), and told so.
    limited_until: float = 0.0
    #: Chance that what comes back is no answer: a 5xx, a web page, half a reply.
    garbled: float = 0.0
    #: Chance that a reply is lost.
    reply_lost: float = 0.0
    #: Chance that a request is held up, and lands later by up to `hold` seconds.
    held: float = 0.0
    hold: float = 60.0
    #: Chance that a reply is held up likewise.
    slow_reply: float = 0.0
    #: Chance that a read shows what was there up to `lag` seconds ago.
    lagging: float = 0.0
    lag: float = 10.0
    #: Chance that a beat that was to be taken along is left behind.
    left_behind: float = 0.05


@dataclasses.dataclass(slots=True)
class Link:
    """One machine's way to the store."""

    #: Requests do not get through until then (true time).
    requests_cut_until: float = 0.0
    #: Replies do not get through until then.
    replies_cut_until: float = 0.0
    #: The machine's credentials are not taken until then.
    barred_until: float = 0.0
    #: The newest commit that any connection of this machine has seen; kept on its disk.
    seen: int = 0


class Passage(NamedTuple):
    """What becomes of one call."""

    #: Seconds until the store does it; None for never.
    request: float | None
    #: Seconds from then until the reply is there; None for never.
    reply: float | None
    #: Refused: certainly not applied, and for this reason.
    refused: str | None = None
    #: What comes back is no answer.
    garbled: Garbled | None = None
    #: Seconds by which a read shows an older state.
    lag: float = 0.0


def passage(rng: random.Random, weather: Weather, link: Link, now: float) -> Passage:
    """Draw what becomes of a call that is sent now."""
    least, mean = weather.latency
    request = least + rng.expovariate(1.0) * mean
    reply = least + rng.expovariate(1.0) * mean
    # Each is drawn whether it is needed or not, so that one fault more does not change all that follows.
    draw = rng.random
    luck = (draw(), draw(), draw(), draw(), draw(), draw())
    extent = (draw(), draw(), draw(), draw())
    if now < weather.down_until or luck[0] < weather.refused:
        return Passage(refused="the store refuses connections", request=request, reply=None)
    if now < link.requests_cut_until:
        return Passage(request=None, reply=None)
    if now < link.barred_until:
        return Passage(refused="the store does not take our token (401)", request=request + reply, reply=None)
    if now < weather.limited_until:
        pause = weather.limited_until - now
        why = f"the store limits how often we may ask (429); again in {pause:.0f} s"
        return Passage(refused=why, request=request + reply, reply=None)
    if luck[1] < weather.held:
        request += extent[0] * weather.hold
    if luck[2] < weather.slow_reply:
        reply += extent[1] * weather.hold
    lost = luck[3] < weather.reply_lost or now + request < link.replies_cut_until
    lag = extent[2] * weather.lag if luck[4] < weather.lagging else 0.0
    garbled: Garbled | None = None
    if luck[5] < weather.garbled:
        garbled = "before" if extent[3] < 0.5 else "after"
    return Passage(request=request, reply=None if lost else reply, lag=lag, garbled=garbled)
