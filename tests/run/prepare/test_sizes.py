"""The size of the clips that a network reads: of the network and the videos alone."""

from __future__ import annotations

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.recipe import get_profile
from expand3d.run.prepare.sizes import Sizes, sizes_of

RECIPE = get_profile("quick")
WIDE = get_profile("quick", {"jitter": (1.0, 2.0)})


def test_tiers_end_where_the_videos_do() -> None:
    sizes = Sizes(largest=270)
    assert [sizes.side(crop, RECIPE) for crop in (56, 112, 160, 224, 448)] == [
        *(80, 160, 232, 320, 320),
    ]
    assert sizes.side(112, WIDE) == 232  # 224 pixels
    assert sizes.ahead(160, 448, RECIPE) == (232, 320)
    assert sizes.ahead(160, 112, RECIPE) == ()
    assert sizes.others(160) == (80, 116, 232, 320)
    # Flow has the detail that was asked for, whatever its network reads beside it.
    assert sizes.flow_side(128, side=80) == sizes.flow_side(128, side=232) == 160
    assert sizes.flow_side(300, side=80) == sizes.flow_side(2000, side=80) == 320


def test_a_study_with_one_size_reads_larger_clips_only_where_it_must() -> None:
    sizes = Sizes(largest=270, fixed=192)
    # 80, 160, 228.6 and 320 pixels on a grid of 64.
    assert [sizes.side(crop, RECIPE) for crop in (56, 112, 160, 224)] == [192, 192, 256, 320]
    assert sizes.ahead(192, 448, RECIPE) == () and sizes.others(256) == (192,)
    assert sizes.flow_side(128, side=256) == 256
    # Videos of 150 pixels are the same at any larger size.
    assert Sizes(largest=150, fixed=192).side(224, RECIPE) == 192


def test_a_record_says_by_which_rule_its_study_goes() -> None:
    facts = {"largest": 270, "crop": 224, "recipe": RECIPE}
    new = sizes_of(None, **facts)
    assert new == Sizes(270)
    assert sizes_of(new.identity(), **facts) == new
    assert sizes_of({"short_side": 192}, **facts) == Sizes(270, fixed=192)
    assert Sizes(270, fixed=192).identity() == {"short_side": 192}
    assert sizes_of({}, **facts) == Sizes(270, fixed=320)  # before records kept it
    for later in ({"tiers": 2}, {"clip_format": "another"}):
        with pytest.raises(StudyError, match="use the version that began it"):
            sizes_of({**new.identity(), **later}, **facts)
