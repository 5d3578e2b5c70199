"""Frames, stride and crop are words that every family takes for what its factors are called."""

from __future__ import annotations

import pytest

from expand3d.core.errors import FactorError
from expand3d.core.plugins import FAMILIES
from expand3d.networks import get_family


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_takes_frames_stride_and_crop(name: str) -> None:
    family = get_family(name)
    told = {"frames": 8, "crop": 224}
    if "gamma_tau" in family.factors:
        told["stride"] = 3
    plan = family.resolve(family.base.replace(**dict(family.spell(*item) for item in told.items())))
    assert (plan.frames, plan.crop) == (8, 224)
    if "stride" in told:
        assert plan.stride == 3
        assert family.spell("frame_stride", 3) == family.spell("stride", 3)
    else:
        with pytest.raises(FactorError, match=f"{name} has no stride; the clip is parted"):
            family.spell("stride", 3)
