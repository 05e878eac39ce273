"""Settings of the scaler: the same for every peer, since any may be asked to scale the fleet."""

from __future__ import annotations

from typing import Literal

from sentinel.settings.key import setting
from sentinel.settings.rules import Number, Section, Switch, Text, Whole


class AutoScaling(Section):
    """How ``sentinel cluster autoscale`` keeps the fleet at its right size."""

    min_workers: Whole = setting(
        1,
        "Fewest workers.",
        json="distributed.autoScaling.minWorkers",
        unit="workers",
        ge=0,
        le=10_000,
        scope="fleet",
    )
    max_workers: Whole = setting(
        10,
        "Most workers.",
        json="distributed.autoScaling.maxWorkers",
        unit="workers",
        ge=1,
        le=10_000,
        scope="fleet",
    )
    step: Whole = setting(
        2,
        "How many workers one change adds or takes away at most.",
        json="distributed.autoScaling.step",
        unit="workers",
        ge=1,
        le=1000,
        scope="fleet",
    )
    up_utilization: Number = setting(
        80.0,
        "Part of all slots in use above which, with a long queue, there are to be more workers.",
        json="distributed.autoScaling.scaleUpUtilizationPercent",
        unit="percent",
        ge=0,
        le=100,
        scope="fleet",
    )
    up_queue: Whole = setting(
        50,
        "Waiting tasks above which, with most slots in use, there are to be more workers.",
        json="distributed.autoScaling.scaleUpQueue",
        unit="tasks",
        ge=0,
        le=1_000_000,
        scope="fleet",
    )
    down_utilization: Number = setting(
        20.0,
        "Part of all slots in use below which, with a short queue, there are to be fewer workers.",
        json="distributed.autoScaling.scaleDownUtilizationPercent",
        unit="percent",
        ge=0,
        le=100,
        scope="fleet",
    )
    down_queue: Whole = setting(
        10,
        "Waiting tasks below which, with few slots in use, there are to be fewer workers.",
        json="distributed.autoScaling.scaleDownQueue",
        unit="tasks",
        ge=0,
        le=1_000_000,
        scope="fleet",
    )
    cpu: Number | None = setting(
        None,
        "Mean processor use of the workers above which alone there are to be more.",
        json="distributed.autoScaling.cpuPercent",
        unit="percent",
        ge=1,
        le=100,
        scope="fleet",
    )
    memory: Number | None = setting(
        None,
        "Mean memory use of the workers' machines above which alone there are to be more.",
        json="distributed.autoScaling.memoryPercent",
        unit="percent",
        ge=1,
        le=100,
        scope="fleet",
    )
    queue: Whole | None = setting(
        None,
        "Waiting tasks above which alone there are to be more workers.",
        json="distributed.autoScaling.queueLength",
        unit="tasks",
        ge=0,
        le=1_000_000,
        scope="fleet",
    )
    response: Number | None = setting(
        None,
        "Mean time from submission to end, of tasks that ended lately, above which alone there are to be "
        "more workers.",
        json="distributed.autoScaling.responseSeconds",
        unit="seconds",
        ge=0.1,
        le=604_800,
        scope="fleet",
    )
    looks: Whole = setting(
        2,
        "Looks in a row that must agree before anything is changed.",
        json="distributed.autoScaling.looks",
        unit="looks",
        ge=1,
        le=1000,
        scope="fleet",
    )
    interval: Number = setting(
        30.0,
        "Pause between two looks.",
        json="distributed.autoScaling.intervalSeconds",
        unit="seconds",
        ge=1,
        le=3600,
        scope="fleet",
    )
    cooldown: Number = setting(
        300.0,
        "Pause after a change in which there is no other.",
        json="distributed.autoScaling.cooldownSeconds",
        unit="seconds",
        ge=0,
        le=86_400,
        scope="fleet",
    )
    startup: Number = setting(
        600.0,
        "Time that a worker that was asked for has to join.",
        json="distributed.autoScaling.startupSeconds",
        unit="seconds",
        ge=1,
        le=86_400,
        scope="fleet",
    )
    drain_deadline: Number = setting(
        0.0,
        "Time that a worker that is to go has to end its work; 0 for as long as it takes.",
        json="distributed.autoScaling.drainDeadlineSeconds",
        unit="seconds",
        ge=0,
        le=604_800,
        scope="fleet",
    )
    restart: Switch = setting(
        True,
        "Whether workers that the scaler started, and that were failed over, are started again.",
        json="distributed.autoScaling.restart",
        scope="fleet",
    )
    prefix: Text = setting(
        "worker-",
        "How ids of new workers begin; a number follows.",
        json="distributed.autoScaling.namePrefix",
        scope="fleet",
    )
    provider: Literal["local", "command"] = setting(
        "local",
        "Where workers come from: processes on the host of the scaler, or commands.",
        json="distributed.autoScaling.provider",
        values="local or command",
        scope="fleet",
    )
    start_command: tuple[Text, ...] = setting(
        (),
        "Command that has a worker started; `{id}` in it stands for the worker's id. No shell is involved.",
        json="distributed.autoScaling.startCommand",
        env=(),
        values="a list of texts that begins with the program",
        scope="fleet",
    )
    stop_command: tuple[Text, ...] = setting(
        (),
        "Command that puts away what a worker ran on, after it has left.",
        json="distributed.autoScaling.stopCommand",
        env=(),
        values="a list of texts that begins with the program",
        scope="fleet",
    )
