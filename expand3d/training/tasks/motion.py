"""Flow learned without labels: the network of hidden two-stream networks that finds motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from expand3d.core.errors import DataError
from expand3d.data.frames import derived_seed
from expand3d.networks import get_family
from expand3d.networks.layers.motion import MotionPlan
from expand3d.networks.layers.motion_modules import SCALE, MotionNet
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import ClipBatch, test_batch, train_batch
from expand3d.training.placement import Placement
from expand3d.training.step import Pass
from expand3d.training.tasks.photometric import brightness, level_loss, warped
from expand3d.training.tasks.unlabelled import How, Learned, Unlabelled, facts, trained


class MotionScores(NamedTuple):
    """The brightness loss of the held-out clips under the found flow, and under none."""

    clips: int
    loss: float
    loss_of_no_flow: float


@dataclass(frozen=True)
class MotionTask(Unlabelled):
    """The network that finds flow, and the clips it learns from."""

    plan: MotionPlan

    def build(self) -> MotionNet:
        network = MotionNet(self.plan.motion, self.plan.inputs[0].channels)
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(parameter)
            elif "up" not in name:
                torch.nn.init.kaiming_normal_(parameter, a=0.1)
            if name.startswith("flow"):  # no motion to begin with
                torch.nn.init.zeros_(parameter)
        return network

    def optimiser(self, network: MotionNet) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            network.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay
        )

    def batch(self, number: int) -> ClipBatch:
        size = self.recipe.batch
        return train_batch(
            self.store,
            self.train,
            plan=self.plan,
            recipe=self.recipe,
            seed=self.seed,
            start=number * size,
            count=size,
        )

    def forward(self, network: MotionNet, batch: ClipBatch, placement: Placement) -> Pass:
        (views,) = batch.views
        with placement.autocast():
            pyramid = network.pyramid(placement.input(views))
        first, second = _pairs(views, placement)
        losses = []
        for level, flow in pyramid.items():
            scale = SCALE / 2 ** (level - 1)
            losses.append(level_loss(first, second, _fields(flow), scale=scale, level=level))
        return Pass(torch.stack(losses).sum(), torch.zeros((), dtype=torch.long))

    def test(
        self,
        network: MotionNet,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> MotionScores:
        count, size = len(self.held_out), self.recipe.batch
        found: list[float] = []
        none: list[float] = []
        with torch.inference_mode():
            for start in range(0, count, size):
                batch = test_batch(
                    self.store,
                    self.held_out,
                    plan=self.plan,
                    recipe=self.recipe,
                    start=start,
                    count=min(size, count - start),
                )
                (views,) = batch.views
                flow = _fields(network(placement.input(views)))
                first, second = _pairs(views, placement)
                for field, losses in ((flow, found), (torch.zeros_like(flow), none)):
                    again, inside = warped(second, field)
                    losses.append(float(brightness(first, again, inside)) * len(views))
                tell(start + len(views), 0.0)
        return MotionScores(count, sum(found) / count, sum(none) / count)


def _pairs(views_NTHWC: Tensor, placement: Placement) -> tuple[Tensor, Tensor]:
    """All pairs of consecutive frames of the snippets, in [0, 1]: twice N T L x 3 x H x W."""
    n, t, height, width, channels = views_NTHWC.shape
    pixels = views_NTHWC.to(placement.device).float().div(255)
    frames = pixels.view(n * t, height, width, channels // 3, 3).permute(0, 3, 4, 1, 2)
    return frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)


def _fields(flow_NCTHW: Tensor) -> Tensor:
    """The fields of the snippets in the order of `_pairs`: N T L x 2 x h x w."""
    n, channels, t, height, width = flow_NCTHW.shape
    ordered = flow_NCTHW.float().transpose(1, 2).reshape(n * t, channels // 2, 2, height, width)
    return ordered.flatten(0, 1)


def learn_motion(
    task: MotionTask, *, weights_out: Path, **how: Unpack[How]
) -> Learned[MotionScores]:
    """The learned flow's scores; a whole hidden two-stream network is in `weights_out`.

    Interrupted where `stop` says so; the same call then goes on from the checkpoint, bit for bit.
    """
    if not task.train or not task.held_out:
        raise DataError("flow is learned from clips and tested on others; a part holds none")
    with trained(task, **how, accuracy=None) as (run, scores):
        torch.manual_seed(derived_seed("weights", task.seed))
        whole = get_family(task.plan.family).build(task.plan)
        whole.get_submodule("motion").load_state_dict(run.network.state_dict())
        checkpoints.save_weights(whole, weights_out)
        return Learned(scores, **facts(run))
