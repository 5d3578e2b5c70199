"""Networks that cost next to nothing, for tests of all that happens around a training."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from expand3d.core.genotype import Plan
from expand3d.networks.families.x3d import FAMILY


class Light(nn.Module):
    """Logits from a grid of mean colours; no two plans draw the same weights."""

    def __init__(self, plan: Plan, *, dropout: float = 0.5) -> None:
        super().__init__()
        hidden = 8 + int(plan.digest[:4], 16) % 61
        self.norm = nn.BatchNorm3d(3)
        self.hidden = nn.Linear(3 * 4 * 4, hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, plan.num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        grid = nn.functional.adaptive_avg_pool3d(self.norm(clip), (1, 4, 4)).flatten(1)
        logits: Tensor = self.fc(self.dropout(self.hidden(grid).relu()))
        return logits


def with_light_networks(patch: pytest.MonkeyPatch) -> None:
    """X3D's networks are built light in this process; plans and costs stay what they are."""
    patch.setattr(type(FAMILY), "build", lambda _, plan, **options: Light(plan, **options))
