"""The choices of a training in full that a search's trainings do not have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from expand3d.core.errors import ConfigError, nearest

#: `none` takes clips as they are; `weights` weighs the loss of each class, `resample` visits all
#: classes equally often.
Balance = Literal["none", "weights", "resample"]
BALANCES: tuple[str, ...] = get_args(Balance)
#: The largest magnitude of RandAugment.
MAGNITUDES = 10


@dataclass(frozen=True)
class Extras:
    """Choices beside the recipe; the defaults change nothing.

    `mixup` is the a of the Beta(a, a) by which two clips and their labels are mixed (arXiv
    1710.09412). `ema` is the share of the average of the weights that each step keeps. `precise_bn`
    is the number of passes from which BatchNorm's statistics are taken anew in the end.
    `rand_augment` is the number of RandAugment's operations on a clip (arXiv 1909.13719), and
    `rand_magnitude` their strength, from 0 to 10.
    """

    mixup: float = 0.0
    balance: str = "none"
    ema: float = 0.0
    precise_bn: int = 0
    rand_augment: int = 0
    rand_magnitude: float = 9.0

    def __post_init__(self) -> None:
        if self.balance not in BALANCES:
            raise ConfigError(f"unknown balance {self.balance!r}{nearest(self.balance, BALANCES)}")
        if not 0 <= self.mixup < float("inf"):
            raise ConfigError(f"mixup = {self.mixup!r} must be a number from 0, for example 0.2")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema = {self.ema!r} must lie in [0, 1), for example 0.999")
        if self.precise_bn < 0:
            raise ConfigError(f"precise_bn = {self.precise_bn!r} must be a whole number from 0")

        if self.rand_augment < 0:
            raise ConfigError(f"rand_augment = {self.rand_augment!r} must be a whole number from 0")
        if not 0 <= self.rand_magnitude <= MAGNITUDES:
            raise ConfigError(
                f"rand_magnitude = {self.rand_magnitude!r} must lie in [0, {MAGNITUDES}]"
            )

    def to_json(self) -> dict[str, Any]:
        """All choices; RandAugment, which earlier versions did not have, where it is chosen."""
        data = dataclasses.asdict(self)
        later = () if self.rand_augment else ("rand_augment", "rand_magnitude")
        return {name: value for name, value in data.items() if name not in later}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Extras:
        return cls(**data)


#: A training as a search's are.
PLAIN = Extras()
