"""The time that optical flow takes beside the network that reads it, on this machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from expand3d.core.genotype import Plan
from expand3d.core.plugins import FLOWS
from expand3d.data.flow.store import FlowSpec
from expand3d.data.flow.warp import without_camera


def fields(plan: Plan) -> int:
    """The fields of flow that the inputs of one clip are made of."""
    return sum(
        each.pictures * each.reach for each in plan.inputs if each.made_of.source != "frames"
    )


def flow_work(plan: Plan, spec: FlowSpec) -> Callable[[], None]:
    """A function that computes all flow of one clip; nothing where the network reads none.

    The images are smooth noise of the spec's size, which moves.
    """
    method = FLOWS.load(spec.method)() if fields(plan) else None
    side = spec.short_side
    noise = np.random.default_rng(0).integers(0, 256, (side // 8 + 1,) * 2, dtype=np.uint8)
    before = np.ascontiguousarray(np.kron(noise, np.ones((8, 8), np.uint8))[:side, :side])
    after = np.ascontiguousarray(np.roll(before, 2, axis=1))
    warped = sum(
        each.pictures * each.reach for each in plan.inputs if each.made_of.source == "warped"
    )

    def work() -> None:
        for number in range(fields(plan)):
            assert method is not None, "made where there are fields"
            if number < warped:
                without_camera(method, before, after)
            else:
                method(before, after)

    return work
