"""The size of the clips that a network reads: of the network and the videos alone."""

from __future__ import annotations

import pytest

from expand3d.core.errors import StudyError
from expand3d.core.recipe import get_profile
from expand3d.networks import get_family
from expand3d.run.prepare.sizes import Form, Sizes, sizes_of

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
    kept = [(side, every) for side in (80, 116, 160, 232, 320) for every in (8, 2, 1)]
    assert sizes.others(Form(160)) == tuple(form for form in kept if form != (160, 1))
    # Flow has the detail that was asked for, whatever its network reads beside it.
    assert sizes.flow_side(128, side=80) == sizes.flow_side(128, side=232) == 160
    assert sizes.flow_side(300, side=80) == sizes.flow_side(2000, side=80) == 320


def test_a_study_with_one_size_reads_larger_clips_only_where_it_must() -> None:
    sizes = Sizes(largest=270, fixed=192)
    # 80, 160, 228.6 and 320 pixels on a grid of 64.
    assert [sizes.side(crop, RECIPE) for crop in (56, 112, 160, 224)] == [192, 192, 256, 320]
    assert sizes.ahead(192, 448, RECIPE) == ()
    assert sizes.others(Form(256)) == ((192, 8), (192, 2), (192, 1))
    assert sizes.flow_side(128, side=256) == 256
    # Videos of 150 pixels are the same at any larger size.
    assert Sizes(largest=150, fixed=192).side(224, RECIPE) == 192


def test_a_record_says_by_which_rule_its_study_goes() -> None:
    facts = {"largest": 270, "frames": 60, "crop": 224, "recipe": RECIPE}
    new = sizes_of(None, **facts)
    assert new == Sizes(270, 60) and new.identity()["tiers"] == 2
    assert sizes_of(new.identity(), **facts) == new
    first = {**new.identity(), "tiers": 1}
    assert sizes_of(first, **facts).identity() == first
    assert sizes_of({"short_side": 192}, **facts) == Sizes(270, 60, fixed=192)
    assert Sizes(270, fixed=192).identity() == {"short_side": 192}
    assert sizes_of({}, **facts) == Sizes(270, 60, fixed=320)  # before records kept it
    for later in ({"tiers": 3}, {"tiers": None}, {"clip_format": "another"}):
        with pytest.raises(StudyError, match="use the version that began it"):
            sizes_of({**new.identity(), **later}, **facts)


def test_a_network_reads_the_form_that_its_crop_and_its_strides_ask_for() -> None:
    family = get_family("x3d")

    def form(sizes: Sizes, **factors: float) -> Form:
        return sizes.form(family.resolve(family.base.replace(**factors)), RECIPE)

    sizes = Sizes(270, 60)
    larger, slow = {"gamma_s": 160 / 112}, {"gamma_t": 2, "gamma_tau": 14}
    assert form(sizes) == (160, 8) and form(sizes, **larger) == (232, 8)
    assert form(sizes, **slow) == (160, 2) and form(sizes, **slow, **larger) == (232, 2)
    assert form(sizes, gamma_t=3, gamma_tau=9) == (160, 1)
    # Small videos, and studies that began by earlier rules.
    for whole in (Sizes(160, 60), Sizes(270, 14), Sizes(270, 60, rule=1)):
        assert form(whole) == form(whole, **slow) == (160, 1)
    assert form(Sizes(270, 60, fixed=192), **slow) == (192, 1)
    assert Sizes(270, 60, fixed=192).base_form(family.resolve(family.base), RECIPE) == (192, 1)
