"""The loop over a task of one number, against steps that are worked out by hand."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from expand3d.core.recipe import Recipe
from expand3d.core.result import Interrupted
from expand3d.training.checkpoint import Checkpointer
from expand3d.training.loop import Loop, Stopping
from expand3d.training.placement import Placement, place
from expand3d.training.progress import StepLog
from expand3d.training.step import Ended, Pass, make_optimiser

#: Four steps of two passes; without warm-up or momentum.
RECIPE = Recipe(
    "line", 16, None, batch=4, bn_batch=4, lr=0.1, warmup=0.0, momentum=0.0, weight_decay=0.0
)
RATES = [0.05 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]


class Line(nn.Module):
    """One number that starts at 0, and one that is never trained."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.frozen = nn.Parameter(torch.ones((), dtype=torch.float64))


@dataclass(frozen=True)
class LineTask:
    """The loss of pass n is half the squared distance of the slope from n."""

    recipe: Recipe = RECIPE
    seed: int = 0
    clips: int = 8
    passes: int = 2
    test_views: int = 3

    def belongs(self) -> dict[str, str]:
        return {"seed": str(self.seed)}

    def build(self) -> Line:
        return Line()

    def optimiser(self, network: Line) -> torch.optim.Optimizer:
        return make_optimiser([{"params": [network.slope]}], self.recipe)

    def batch(self, number: int) -> int:
        return number

    def forward(self, network: Line, batch: int, placement: Placement) -> Pass:
        assert network.training
        return Pass((network.slope - batch) ** 2 / 2, torch.tensor(batch % 2))

    def test(
        self,
        network: Line,
        placement: Placement,
        *,
        tell: Callable[[int, float], None],
        notes: list[str],
    ) -> float:
        assert not network.training
        tell(3, 1.0)
        notes.append("tested")
        return network.slope.item()


def by_hand(steps: int) -> list[float]:
    """The slope before each step and after the last: passes 2n and 2n + 1 pull to 2n + 1/2."""
    slopes = [0.0]
    for step in range(steps):
        slopes.append(slopes[-1] - RATES[step] * (slopes[-1] - (2 * step + 0.5)))
    return slopes


def loop(folder: Path, task: LineTask | None = None, **stopping: Any) -> Loop[Line, int, float]:
    task = task or LineTask()
    placement = place(task.recipe, threads=1)
    writer = Checkpointer(folder / "checkpoint", seconds=0)
    run = Loop(task, placement, writer, Stopping(**stopping), log=StepLog(folder / "log"))
    run.resume()
    return run


def test_steps_are_the_mean_of_their_passes_at_the_rate_of_the_schedule(tmp_path: Path) -> None:
    run = loop(tmp_path)
    run.fit()
    assert run.test() == pytest.approx(by_hand(4)[-1], rel=1e-12)
    assert run.network.frozen == 1 and run.notes == ["tested"] and run.visits == 16
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    for step, (row, slope) in enumerate(zip(rows, by_hand(4), strict=False)):
        losses = [(slope - number) ** 2 / 2 for number in (2 * step, 2 * step + 1)]
        assert row == {
            "step": step + 1,
            "clip_visits": 4 * (step + 1),
            "loss": pytest.approx(sum(losses) / 2, rel=1e-12),
            "accuracy": 1 / 4,  # one right answer, in a batch of four clips
            "lr": pytest.approx(RATES[step], rel=1e-12),
        }
    assert len(rows) == 4 and [row["epoch"] for row in run.curve] == [1, 2]


def test_any_task_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    asked = iter(range(1))
    with pytest.raises(Interrupted, match="stopped at step 1/4"):
        loop(tmp_path, stop=lambda: next(asked, None) is None).fit()
    with (tmp_path / "log").open("a") as log:
        log.write('{"step": 2}\n')  # of a step that no checkpoint knows
    run = loop(tmp_path, until=12)
    assert run.step == 1
    run.fit()
    assert run.test() == pytest.approx(by_hand(3)[-1], rel=1e-12)
    run = loop(tmp_path)
    run.fit()
    assert run.test() == pytest.approx(by_hand(4)[-1], rel=1e-12)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_a_checkpoint_that_belongs_to_another_is_not_continued(tmp_path: Path) -> None:
    run = loop(tmp_path, until=8)
    run.fit()
    other = loop(tmp_path, LineTask(seed=1))
    assert other.step == 0 and other.notes == ["checkpoint checkpoint ignored: of another seed"]
    assert (tmp_path / "log").read_text() == ""


def test_a_loss_that_is_no_number_ends_a_training_before_its_step(tmp_path: Path) -> None:
    run = loop(tmp_path, LineTask(dataclasses.replace(RECIPE, lr=1e200)))
    with pytest.raises(Ended, match="the loss became inf at step 2/4") as ended:
        run.fit()
    assert ended.value.status == "diverged" and run.step == 1
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_the_test_can_be_stopped(tmp_path: Path) -> None:
    run = loop(tmp_path)
    run.fit()
    again = loop(tmp_path, stop=lambda: True)
    assert again.step == 4
    again.fit()
    with pytest.raises(Interrupted, match="stopped at step 4/4"):
        again.test()
