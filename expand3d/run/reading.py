"""Views as trainings are tested, of files and of windows: flow, stacks and segments among them.

A training tests a clip at the network's rate, with views in the middles of equal parts of it, and
with the optical flow of its study. Whatever a network reads is read here in the same way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.input_kinds import Source
from expand3d.core.plugins import FLOWS
from expand3d.core.recipe import get_profile
from expand3d.data.flow.quantise import quantise
from expand3d.data.flow.store import FlowSpec, Pairs
from expand3d.data.in_memory import InMemory, Reading, read_whole
from expand3d.data.scale import scaler
from expand3d.data.video_info import Frame, scaled_size
from expand3d.run.prepare.sizes import sizes_of
from expand3d.study.sections import Data

if TYPE_CHECKING:
    from expand3d.training.views import Views

#: The place of the settings of flow in an export's `provenance` and in an ONNX file's facts.
FLOW = "flow"
#: A short side that no video has: clips are never enlarged, so that it leaves them as they are.
ANY = 1 << 16


def reading_of(
    plan: Plan,
    fps: float,
    *,
    recipe: Mapping[str, Any] | None = None,
    flow: FlowSpec | None = None,
    began: Mapping[str, Any] | None = None,
) -> Reading:
    """The form in which a training by `recipe` read videos, in a study that `began` so."""
    by = get_profile("final")
    if recipe and "jitter" in recipe:  # all that the size depends on; an import has no recipe
        by = dataclasses.replace(by, jitter=tuple(recipe["jitter"]))
    sizes = sizes_of(began, largest=ANY, frames=1, crop=plan.crop, recipe=by)
    side = sizes.side(plan.crop, by)
    if plan.sources <= {"frames"} or flow is None:
        return Reading(fps, side)
    return Reading(fps, side, flow, sizes.flow_side(flow.short_side, side))


def flow_facts(plan: Plan, spec: FlowSpec | None) -> dict[str, Any]:
    """The settings of flow as an export keeps them; nothing where the network reads none.

    So it is where another tool computed the flow (None): its settings are not known.
    """
    if spec is None or plan.sources <= {"frames"}:
        return {}
    facts = dataclasses.asdict(spec)
    del facts["files"]  # of flow that was computed there are none
    return {FLOW: facts}


def with_flow_keys(reading: Reading, plan: Plan, given: Mapping[str, Any], title: str) -> Reading:
    """The reading with keys of a study such as `flow_size` in place of what is known.

    ConfigError where the network reads no flow, or where nobody says how it was made.
    """
    if plan.sources <= {"frames"}:
        if given:
            name = "--" + next(iter(given)).replace("_", "-")
            raise ConfigError(f"{name}: {title} reads no optical flow")
        return reading
    if reading.flow is None and "flow" not in given:
        raise ConfigError(
            f"{title} reads optical flow and does not say how it was made; give --flow, and where "
            "they were not the defaults --flow-size, --flow-distance and --flow-bound"
        )
    now = Data(**given).flow_spec()
    if reading.flow is not None:
        names = {"flow": "method", "flow_size": "short_side"}
        changed = {names.get(key, key.removeprefix("flow_")) for key in given}
        values = {name: getattr(now, name) for name in changed}
        now = dataclasses.replace(reading.flow, **values)
    return dataclasses.replace(reading, flow=now, flow_side=_flow_side(reading, now))


def _flow_side(reading: Reading, spec: FlowSpec) -> int:
    from expand3d.data.tiers import tier

    return reading.flow_side if spec == reading.flow else tier(spec.short_side)


def refuse_slow_flow(reading: Reading, source: str) -> None:
    """ConfigError where the flow of a stream takes longer than its frames."""
    if reading.flow is not None and not getattr(FLOWS.load(reading.flow.method), "live", True):
        raise ConfigError(
            f"{source}: optical flow by {reading.flow.method} takes longer than the frames of a "
            "stream; write it into a file, and give that"
        )


def file_views(path: Path, plan: Plan, reading: Reading, *, clips: int, crops: int) -> Views:
    """The views of a video, N x T x side x side x C of each input; crops of a moment together."""
    return _views(read_whole(path, reading), plan, clips=clips, crops=crops)


def _views(store: InMemory, plan: Plan, *, clips: int, crops: int = 1) -> Views:
    from expand3d.training.batches import test_batch

    recipe = dataclasses.replace(get_profile("final"), test_views=clips, test_crops=crops)
    return test_batch(store, [0], plan=plan, recipe=recipe, start=0, count=clips * crops).views


class _Held:
    """A frame of a stream, the image that its flow is made of, and its fields so far."""

    def __init__(self, number: int, frame: Frame, image: NDArray[np.uint8] | None) -> None:
        self.number, self.frame, self.image = number, frame, image
        self.fields: dict[tuple[Source, int], NDArray[np.uint8]] = {}


class AsTrained:
    """The `Look` at windows that are seen like whole videos; a field of flow is computed once."""

    def __init__(self, plan: Plan, reading: Reading, *, clips: int) -> None:
        self._plan, self._reading, self._clips = plan, reading, clips
        self._pairs = None if reading.flow is None else Pairs(reading.flow)
        self._scale, self._taken = scaler(), 0

    def take(self, frame: Frame, times: int) -> Sequence[_Held]:
        reading = self._reading
        image = None
        if self._pairs is not None:
            image = self._pairs.image(self._scaled(frame, reading.flow_side))
        small = self._scaled(frame, reading.side)
        held = [_Held(self._taken + number, small, image) for number in range(times)]
        self._taken += times
        return held

    def views(self, held: Sequence[_Held]) -> Views:
        def fields(source: Source) -> NDArray[np.uint8]:
            spec = self._reading.flow
            assert spec is not None
            if len(held) <= spec.distance:
                height, width = _image_of(held[0]).shape
                return quantise(np.zeros((1, height, width, 2)), spec.bound)
            pairs = zip(held, held[spec.distance :], strict=False)
            return np.stack([self._field(*pair, source) for pair in pairs])

        frames = np.stack([each.frame for each in held])
        store = InMemory(frames, spec=self._reading.flow, fields=fields)
        return _views(store, self._plan, clips=self._clips)

    def _field(self, before: _Held, after: _Held, source: Source) -> NDArray[np.uint8]:
        spec, key = self._reading.flow, (source, after.number)
        assert spec is not None and self._pairs is not None
        if key not in before.fields:
            field = self._pairs.field(_image_of(before), _image_of(after), source)
            before.fields[key] = quantise(field, spec.bound)
        return before.fields[key]

    def _scaled(self, frame: Frame, short_side: int) -> Frame:
        height, width = frame.shape[:2]
        size = scaled_size(width, height, short_side)
        if size == (width, height):
            return frame
        from av import VideoFrame

        return self._scale(VideoFrame.from_ndarray(frame, format="rgb24"), *size)


def _image_of(held: _Held) -> NDArray[np.uint8]:
    assert held.image is not None, "the network reads flow"
    return held.image
