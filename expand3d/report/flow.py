"""Flow as a picture: what a network finds in clips, beside a method of optical flow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.files import write_whole
from expand3d.data.flow.store import FlowSpec, flow_of
from expand3d.data.store import ClipStore
from expand3d.report.plot import DPI, INK, MUTED, new_figure

if TYPE_CHECKING:
    from expand3d.networks.layers.motion import MotionPlan

#: Clips that a picture shows.
ROWS = 6


def in_colours(flow_HWC: NDArray[np.floating], longest: float) -> NDArray[np.uint8]:
    """RGB H x W x 3 of vectors: the hue is their direction, white no motion, full at `longest`."""
    from matplotlib.colors import hsv_to_rgb

    x, y = flow_HWC[..., 0], flow_HWC[..., 1]
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1
    strength = np.clip(np.hypot(x, y) / max(longest, 1e-6), 0, 1)
    rgb = hsv_to_rgb(np.stack([hue, strength, np.ones_like(hue)], axis=-1))
    return np.asarray(np.rint(255 * rgb), dtype=np.uint8)


def draw_flow(
    out: Path,
    plan: MotionPlan,
    store: ClipStore,
    indices: Sequence[int],
    *,
    weights: Path,
    spec: FlowSpec,
) -> Path:
    """`out`, which now shows some of the clips: a frame, the network's flow, and the method's.

    `weights` is the folder of the network. Both see the same pixels; colours are scaled alike.
    DataError where the method is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    chosen = [indices[round(k)] for k in np.linspace(0, len(indices) - 1, min(ROWS, len(indices)))]
    figure = new_figure(7.5, 2.3 * len(chosen) + 0.5)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(chosen), 3, squeeze=False)
    network = _network(plan, weights)
    titles = ("first frame", "learned flow", f"{spec.method} flow")
    for row, index in enumerate(chosen):
        frames, learned = _found(network, plan, store, index)
        method = flow_of(frames, FlowSpec(spec.method, plan.crop, 1, spec.bound))[0]
        longest = float(np.percentile(np.hypot(method[..., 0], method[..., 1]), 99))
        shown = (frames[0], in_colours(learned, longest), in_colours(method, longest))
        for axes, picture, title in zip(grid[row], shown, titles, strict=True):
            axes.imshow(picture)
            axes.set_axis_off()
            if not row:
                axes.set_title(title, color=INK, size=10)
        said = f"{store.keys[index]}, up to {longest:.1f} pixels"
        first = grid[row][0]
        first.text(0, -0.04, said, color=MUTED, size=7, va="top", transform=first.transAxes)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI // 2)
    return write_whole(out, png.getvalue())


def end_points(
    plan: MotionPlan,
    store: ClipStore,
    indices: Sequence[int],
    *,
    weights: Path,
    spec: FlowSpec,
) -> tuple[float, float]:
    """Mean end-point errors in pixels against the method of `spec`: of learned flow, and of none.

    They are over the middle field of each clip, at the crop of the network in `weights`.
    DataError where the method is not installed.
    """
    network = _network(plan, weights)
    learned, none = [], []
    for index in indices:
        frames, found = _found(network, plan, store, index)
        method = flow_of(frames, FlowSpec(spec.method, plan.crop, 1, spec.bound))[0]
        learned.append(float(np.linalg.norm(found - method, axis=-1).mean()))
        none.append(float(np.linalg.norm(method, axis=-1).mean()))
    return float(np.mean(learned)), float(np.mean(none))


def _network(plan: MotionPlan, folder: Path) -> Any:
    """The network that finds flow, with the folder's weights."""
    from safetensors.torch import load_file

    from expand3d.interop.json_folder import WEIGHTS
    from expand3d.networks.layers.motion_modules import MotionNet

    network = MotionNet(plan.motion, plan.inputs[0].channels)
    prefix = "motion."
    kept = load_file(folder / WEIGHTS)
    network.load_state_dict(
        {n.removeprefix(prefix): t for n, t in kept.items() if n.startswith(prefix)}
    )
    return network.eval()


def _found(
    network: Any, plan: MotionPlan, store: ClipStore, index: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The frames of the middle snippet of a clip, and the first field that the network finds."""
    import torch

    from expand3d.core.recipe import get_profile
    from expand3d.data.crops import normalise
    from expand3d.training.views import test_view

    (view,) = test_view(
        store, index, plan=plan, recipe=get_profile("quick", {"test_views": 1}), moment=0, place=0
    )
    side = plan.crop
    frames_LHWC = (
        view[0].view(side, side, plan.motion.pairs + 1, 3).permute(2, 0, 1, 3).contiguous()
    )
    with torch.inference_mode():
        flow = network(normalise(view[None]))[0, :2, 0]
    return frames_LHWC.numpy(), flow.permute(1, 2, 0).numpy()
