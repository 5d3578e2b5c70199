"""Facts that other codebases gave of their own networks; `tests/assets/peers` says which."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expand3d.interop.random_weights import filling

ASSETS = Path(__file__).parents[1] / "assets" / "peers"


@cache
def golden(name: str) -> dict[str, dict[str, Any]]:
    """The networks of one file, by their names."""
    with gzip.open(ASSETS / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        return {each["name"]: each for each in json.load(file)["networks"]}


def tuples(value: Any) -> Any:
    """Lists of lists as tuples of tuples."""
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def filled(row: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of a row, under its own names, as its README says; their sum is checked."""
    made = {}
    for name, shape in row["state_dict"].items():
        counter = name.endswith("num_batches_tracked")
        values = torch.tensor(0) if counter else torch.from_numpy(filling(name, tuple(shape)))
        made[name] = values
    total = sum(float(value.double().sum()) for value in made.values())
    assert abs(total - row["weights_check"]["sum"]) < 1e-3 * abs(total)
    return made


def assert_logits(
    network: nn.Module,
    run: dict[str, Any],
    shape: tuple[int, ...],
    *,
    axes: tuple[int, ...] = (0, 1, 2, 3, 4),
) -> None:
    """`network` gives a row's logits, within three times what its float32 is off.

    It reads the row's input in `shape`, its axes in the order `axes`.
    """
    noise = np.random.RandomState(7).standard_normal(run["input_shape"]).astype(np.float32)
    with torch.no_grad():
        got = network.eval()(torch.from_numpy(noise).reshape(shape).permute(axes))
    wanted = torch.tensor(run["logits"])
    assert got.shape == wanted.shape
    apart = float((got.double() - wanted.double()).abs().max())
    assert apart <= 3 * run["float32_max_abs_difference"]
