"""SlowFast against its paper: the two pathways' integers, their frames, printed figures."""

from __future__ import annotations

import itertools

import pytest
import torch

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype
from expand3d.networks.families.slowfast import FAMILY, PRESETS, SlowFastPlan
from expand3d.networks.family import Limits

LIMITS = Limits(crop=224, duration=128)


def plan_of(genotype: Genotype, classes: int = 5) -> SlowFastPlan:
    plan = FAMILY.resolve(genotype, num_classes=classes)
    assert isinstance(plan, SlowFastPlan)
    return plan


def slow_frames(frames: int, alpha: int) -> list[int]:
    """The frames, of so many, that the Slow pathway of a built network sees."""
    network = FAMILY.build(plan_of(FAMILY.base.replace(alpha=alpha)))
    clip = torch.arange(frames, dtype=torch.float).view(1, 1, -1, 1, 1)
    slow, fast = network.rates(clip)
    assert torch.equal(fast, clip)
    return [int(n) for n in slow.flatten()]


def test_the_integers_of_the_papers_table_1() -> None:
    plan = plan_of(PRESETS["slowfast-4x16-r50"].genotype, 400)
    assert (plan.frames, plan.stride, plan.alpha) == (32, 2, 8)
    assert plan.stems == (64, 8)
    assert plan.widths == ((256, 512, 1024, 2048), (32, 64, 128, 256))
    assert plan.inners == ((64, 128, 256, 512), (8, 16, 32, 64))
    assert plan.depths == (3, 4, 6, 3)
    assert plan.temporal == ((0, 0, 6, 3), (3, 4, 6, 3))


def test_the_r101_of_the_paper_has_6_of_23_temporal_kernels_in_res4_in_both_pathways() -> None:
    plan = plan_of(PRESETS["slowfast-16x8-r101"].genotype)
    assert plan.depths == (3, 4, 23, 3)
    assert plan.temporal == ((0, 0, 6, 3), (3, 4, 6, 3))
    every = plan_of(PRESETS["slowfast-8x8-r101-all"].genotype)
    assert every.temporal == ((0, 0, 23, 3), (3, 4, 23, 3))


@pytest.mark.parametrize(
    ("frames", "alpha", "seen"),
    [
        (32, 8, [0, 10, 20, 31]),  # 31 / 3 = 10.33 apart
        (32, 4, [0, 4, 8, 13, 17, 22, 26, 31]),  # 31 / 7 = 4.43 apart
        (8, 8, [0]),
        (1, 8, [0]),
        (9, 8, [0, 8]),
        (5, 1, [0, 1, 2, 3, 4]),
    ],
)
def test_the_slow_pathway_takes_frames_from_first_to_last(
    frames: int, alpha: int, seen: list[int]
) -> None:
    assert slow_frames(frames, alpha) == seen


def test_frames_that_only_the_fast_pathway_sees_matter() -> None:
    torch.manual_seed(0)
    network = FAMILY.build(plan_of(FAMILY.base)).eval()
    clip = torch.randn(1, 3, 4, 64, 64)
    other = clip.clone()
    other[:, :, 2] = 0  # the Slow pathway sees frame 0 of 4
    with torch.no_grad():
        assert not torch.allclose(network(clip), network(other))


def test_the_fast_pathway_reaches_the_slow_one_only_through_the_laterals() -> None:
    torch.manual_seed(0)
    seen = []
    for ratio in (2, 0):
        network = FAMILY.build(plan_of(FAMILY.base.replace(lateral_ratio=ratio))).eval()
        slow_features = []
        network.head.pool.slow.register_forward_hook(lambda *a, s=slow_features: s.append(a[2]))
        clip = torch.randn(1, 3, 4, 64, 64)
        other = clip.clone()
        other[:, :, 1:] = 0
        with torch.no_grad():
            network(clip), network(other)
        seen.append(torch.equal(*slow_features))
    assert seen == [False, True]


def test_frames_grow_by_alpha_and_shrink_to_a_single_one() -> None:
    base = FAMILY.base.replace(alpha=4, gamma_t=4, gamma_tau=8)
    grown = [int(g["gamma_t"]) for g in FAMILY.grow("gamma_t", base, LIMITS)]
    assert grown[:3] == [8, 12, 16]
    faster = next(FAMILY.grow("gamma_tau", base, LIMITS))
    assert (faster["gamma_t"], faster["gamma_tau"]) == (8, 4)
    larger = base.replace(gamma_t=16, gamma_tau=2)
    assert [int(g["gamma_t"]) for g in FAMILY.shrink("gamma_t", larger)] == [12, 8, 4, 1]


def test_beta_grows_by_a_64th() -> None:
    wide = FAMILY.base.replace(gamma_w=1)
    grown = list(itertools.islice(FAMILY.grow("beta", wide, LIMITS), 3))
    assert [plan_of(g).stems for g in grown] == [(64, 9), (64, 10), (64, 11)]


def test_an_even_lateral_kernel_is_made_odd() -> None:
    plans = [plan_of(FAMILY.base.replace(lateral_kernel=k)) for k in (1, 2, 3, 4)]
    assert [plan.lateral_kernel for plan in plans] == [1, 3, 3, 5]


def test_a_part_of_a_lateral_ratio_is_refused() -> None:
    with pytest.raises(FactorError, match=r"lateral_ratio = 1\.5 must be a whole number"):
        FAMILY.resolve(FAMILY.base.replace(lateral_ratio=1.5))


#: Giga multiply-adds at 256 as the paper prints them (Tables 2, 5).
PAPER = {
    "slowfast-4x16-r50": "36.1",
    "slowfast-8x8-r50": "65.7",
    "slowfast-16x8-r101": "213.0",
    "slowfast-4x16-r50-beta16": "30.6",
    "slowfast-4x16-r50-no-lateral": "34.2",
}


def at_256(name: str) -> tuple[float, float]:
    """Multiply-adds, and elements that BatchNorms read."""
    cost = FAMILY.cost(plan_of(PRESETS[name].genotype, 400), crop=256)
    return cost.macs, (cost.fvcore_flops - cost.macs) / 2


@pytest.mark.parametrize("name", PAPER)
def test_multiply_adds_are_what_the_paper_prints(name: str) -> None:
    assert f"{at_256(name)[0] / 1e9:.1f}" == PAPER[name]


def test_the_papers_r101_is_printed_cut_off() -> None:
    assert int(at_256("slowfast-8x8-r101")[0] / 1e9) == 106


#: pytorchvideo's model zoo counts 5 per BatchNorm element (fvcore in train mode), and a classifier
#: that stands on 2 x 2 places of a 256 crop where its window of 7 has one at 224. Its 8x8 R50 on
#: Kinetics, 65.71, lacks the BatchNorms; the one on Something-Something (174 classes) has them.
ZOO = {
    "slowfast-4x16-r50": ("36.69", 1),
    "slowfast-8x8-r101-all": ("127.20", 4),
    "slowfast-16x8-r101": ("215.61", 4),
}


@pytest.mark.parametrize("name", ZOO)
def test_the_model_zoos_figures_are_of_batchnorm_in_train_mode(name: str) -> None:
    printed, places = ZOO[name]
    macs, elements = at_256(name)
    total = macs + 5 * elements + (places - 1) * (2048 + 256) * 400
    assert f"{total / 1e9:.2f}" == printed
