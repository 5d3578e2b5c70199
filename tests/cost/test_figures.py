"""The figures that are printed about a network."""

from __future__ import annotations

import pytest

from expand3d.cost import figures as views
from expand3d.networks import get_preset
from expand3d.networks.families.x3d import FAMILY


def test_views_are_ten_clips_and_ten_by_three_crops() -> None:
    figures = views.figures(FAMILY.resolve(get_preset("x3d-m").genotype))
    assert set(figures) == set(views.CONVENTIONS)
    # X3D-M: 4.7325 G at 224, 6.1806 G at 256.
    assert figures["macs_10_view"] == 10 * (figures["macs"] or 0)
    assert figures["macs_30_view"] == 30 * (figures["macs_test_crop"] or 0)
    assert round((figures["macs_10_view"] or 0) / 1e9, 2) == 47.32
    assert round((figures["macs_30_view"] or 0) / 1e9, 2) == 185.42


def test_pytorchvideo_s_variant() -> None:
    # pytorchvideo 0.1.5 builds X3D-S with 3,794,274 parameters, fvcore counts 2,030,783,312.
    figures = views.figures(FAMILY.resolve(get_preset("x3d-s").genotype))
    assert figures["params_pytorchvideo"] == 3_794_274
    assert figures["fvcore_flops_pytorchvideo"] == 2_030_783_312
    # With the BatchNorm of 24 channels at 13 x 40 x 40 positions, which PySlowFast has:
    assert figures["params"] == 3_794_322 == 3_794_274 + 2 * 24
    assert figures["fvcore_flops"] == 2_030_783_312 + 2 * 24 * 13 * 40 * 40


def test_a_family_that_pytorchvideo_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(FAMILY), "variants", {})
    figures = views.figures(FAMILY.resolve(FAMILY.base))
    assert figures["params_pytorchvideo"] is None
    assert figures["fvcore_flops_pytorchvideo"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999, "999"),
        (1000, "1.000 k"),
        (20_662_304, "20.66 M"),
        (1_962_892_112, "1.963 G"),
        (81_658_000_680, "81.66 G"),
        (1_075_128_828_480, "1.075 T"),
    ],
)
def test_short(value: int, text: str) -> None:
    assert views.short(value) == text
