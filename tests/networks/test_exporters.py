"""torch.export takes every family's network in eval mode, and gives what the network gives."""

from __future__ import annotations

import pytest
import torch

from expand3d.core.plugins import FAMILIES
from expand3d.networks import get_family
from expand3d.networks.example import example

#: The others are as slow as they are alike: `make test-all` takes them.
QUICK = ("r3d", "tsn")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FAMILIES],
)
def test_every_family_exports(name: str) -> None:
    family = get_family(name)
    plan = family.resolve(family.base, num_classes=5)
    network, inputs = family.build(plan).eval(), tuple(example(plan, 1))
    with torch.inference_mode(False), torch.no_grad():
        exported = torch.export.export(network, inputs)
        torch.testing.assert_close(exported.module()(*inputs), network(*inputs))
