"""Weights of another size: larger networks compute what the smaller one did, in every family."""

from __future__ import annotations

import copy
import dataclasses
import functools
import random
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from expand3d.core.errors import WeightsError
from expand3d.core.genotype import Plan
from expand3d.core.plugins import FAMILIES
from expand3d.networks import get_family
from expand3d.networks.families.x3d import FAMILY as X3D
from expand3d.networks.families.x3d import X3DPlan
from expand3d.networks.weights.remap import remap
from tests.helpers.batch_norms import draw

CLASSES = 4
State = Mapping[str, Tensor]

#: One setting of each factor that makes a family's base wider or deeper.
LARGER: dict[str, dict[str, float]] = {
    "c3d": {"gamma_w": 0.25},
    "csn": {"gamma_w": 0.4, "gamma_d": 2, "gamma_b": 1.5},
    "fusion": {"gamma_w": 0.14},
    "hidden_twostream": {"gamma_w": 0.25, "gamma_d": 2},
    "i3d": {"gamma_w": 0.25, "gamma_b": 2},
    "i3d_twostream": {"gamma_w": 0.25, "gamma_b": 2},
    "r2plus1d": {"gamma_w": 0.25, "gamma_d": 2, "gamma_b": 1.5},
    "r2plus1d_twostream": {"gamma_w": 0.25, "gamma_d": 2, "gamma_b": 1.5},
    "r3d": {"gamma_w": 0.25, "gamma_d": 2, "gamma_b": 1.5},
    "s3d": {"gamma_w": 0.25, "gamma_b": 2},
    "s3d_twostream": {"gamma_w": 0.25, "gamma_b": 2},
    "slowfast": {"gamma_w": 0.4, "gamma_d": 2, "gamma_b": 1.5, "beta": 0.5},
    "slowonly": {"gamma_w": 0.4, "gamma_d": 2, "gamma_b": 1.5},
    "t3d": {"gamma_w": 0.5, "gamma_d": 2, "gamma_b": 1.5, "ttl_width": 64},
    "tsn": {"gamma_w": 0.4, "gamma_d": 2},
    "twostream": {"gamma_w": 0.4},
    "x3d": {"gamma_w": 1.45, "gamma_d": 2.2, "gamma_b": 2.25},
}
#: Families whose streams are the networks of another.
TWICE = tuple(name for name in LARGER if name.removesuffix("_twostream") in LARGER.keys() - {name})
#: What each family that has a base of one frame calls more of them.
FRAMES = {
    **dict.fromkeys(("c3d", "csn", "r2plus1d", "r3d", "slowonly", "t3d", "x3d"), "gamma_t"),
    **dict.fromkeys(("hidden_twostream", "tsn"), "segments"),
}
#: Settings that change what an input or a layer is, and so are refused, with a word of why.
REFUSED = (
    ("c3d", {"gamma_d": 2}, "a layer more"),
    ("fusion", {"gamma_d": 1}, "a layer more"),
    ("fusion", {"stack": 10}, "channels"),
    ("fusion", {"kernel_t": 3}, "kernel"),
    ("hidden_twostream", {"pairs": 5}, "channels"),
    ("hidden_twostream", {"motion_width": 0.5}, "flow"),
    ("i3d", {"gamma_d": 2}, "a layer more"),
    ("i3d", {"stages_3d": 4}, "kernel"),
    ("s3d", {"gamma_d": 2}, "a layer more"),
    ("twostream", {"stack": 5}, "channels"),
)


def plan_of(family: str, **changes: float) -> Plan:
    found = get_family(family)
    small = {"gamma_s": 64 / 112, **changes}
    return found.resolve(found.base.replace(**small), num_classes=CLASSES)


def trained(plan: Plan, *, seed: int = 0) -> nn.Module:
    """A float64 network without dropout in which no number is as it was initialised."""
    return copy.deepcopy(_trained(plan, seed))


@functools.lru_cache(maxsize=24)
def _trained(plan: Plan, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = get_family(plan.family).build(plan, dropout=0.0)
    with torch.no_grad():
        draw(network)
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.3)
            if getattr(module, "bias", None) is not None:
                nn.init.normal_(module.bias, std=0.1)
    return network.double()


def loaded(plan: Plan, state: State) -> nn.Module:
    network = get_family(plan.family).build(plan, dropout=0.0).double()
    network.load_state_dict(state)
    return network


def inputs(plan: Plan, *, still: bool = False, clips: int = 3) -> list[Tensor]:
    """Noise of the plan's shape; the frames of a still clip are one."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for each in plan.inputs:
        channels, frames, side = each.shape[:3]
        shape = (clips, channels, 1 if still else frames, side, side)
        clip = torch.randn(shape, generator=generator, dtype=torch.float64)
        found.append(clip.expand(-1, -1, frames, -1, -1).clone())
    return found


def outputs(network: nn.Module, clips: list[Tensor], *, train: bool) -> Tensor:
    network.train(train)
    with torch.no_grad():
        found = network(*clips)
    return torch.stack(found) if isinstance(found, tuple) else found


def same(one: nn.Module, two: nn.Module, first: list[Tensor], second: list[Tensor]) -> None:
    """Equal outputs in both modes, to a millionth of how much they differ between clips."""
    for train in (False, True):
        before = outputs(one, first, train=train)
        spread = before.std(dim=-2).max()
        assert spread > 1e-7
        assert (outputs(two, second, train=train) - before).abs().max() < 1e-6 * spread


def params(plan: Plan) -> int:
    return get_family(plan.family).cost(plan).params


def test_every_family_is_looked_at() -> None:
    assert LARGER.keys() == FAMILIES.keys()


@pytest.mark.parametrize(
    ("family", "factor"),
    [
        pytest.param(name, factor, marks=pytest.mark.slow if name in TWICE else ())
        for name, each in LARGER.items()
        for factor in each
    ],
)
def test_a_wider_or_deeper_network_computes_the_same(family: str, factor: str) -> None:
    old, new = plan_of(family), plan_of(family, **{factor: LARGER[family][factor]})
    assert params(new) > params(old)
    network = trained(old)
    grown = loaded(new, remap(old, network.state_dict(), new))
    same(network, grown, inputs(old), inputs(old))


@pytest.mark.parametrize("family", sorted(LARGER))
def test_all_at_once_computes_the_same(family: str) -> None:
    old, new = plan_of(family), plan_of(family, **LARGER[family])
    network = trained(old)
    grown = loaded(new, remap(old, network.state_dict(), new))
    same(network, grown, inputs(old), inputs(old))


@pytest.mark.parametrize("family", sorted(FRAMES))
def test_more_frames_of_a_still_clip_are_the_one_frame(family: str) -> None:
    old, new = plan_of(family), plan_of(family, **{FRAMES[family]: 4})
    network = trained(old)
    grown = loaded(new, remap(old, network.state_dict(), new))
    few, many = inputs(old, still=True), inputs(new, still=True)
    assert many[-1].shape[2] > few[-1].shape[2]
    same(network, grown, few, many)


def test_noise_that_more_frames_would_bring_to_life_matters() -> None:
    """The weights as they are, on four frames, are another network: the rule is needed."""
    old, new = plan_of("x3d"), plan_of("x3d", gamma_t=4)
    network = trained(old)
    as_it_is = loaded(new, network.state_dict())
    before = outputs(network, inputs(old, still=True), train=False)
    assert (outputs(as_it_is, inputs(new, still=True), train=False) - before).abs().max() > 0.01


def test_places_that_met_frames_keep_their_weights() -> None:
    """Two frames reach one place to each side of the centre: the stem's outer two met padding."""
    old, new = plan_of("x3d", gamma_t=2, gamma_tau=14), plan_of("x3d", gamma_t=4, gamma_tau=14)
    state = trained(old).state_dict()
    found = remap(old, state, new)
    stem = state["stem.temporal.weight"].clone()
    stem[:, :, [0, 4]] = 0
    assert torch.equal(found["stem.temporal.weight"], stem)
    inner = "res3.0.channelwise.weight"
    assert torch.equal(found[inner], state[inner])


@pytest.mark.parametrize("changes", [{"gamma_s": 160 / 112}, {"gamma_t": 2, "gamma_tau": 7}])
def test_another_crop_or_fewer_frames_leave_the_weights(changes: dict[str, float]) -> None:
    old, new = plan_of("x3d", gamma_t=4, gamma_tau=7), plan_of("x3d", **changes)
    if "gamma_t" not in changes:
        new = plan_of("x3d", gamma_t=4, gamma_tau=7, **changes)
    state = trained(old).state_dict()
    found = remap(old, state, new)
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize(("family", "changes", "word"), REFUSED)
def test_what_cannot_be_remapped_is_said(family: str, changes: dict[str, float], word: str) -> None:
    old, new = plan_of(family), plan_of(family, **changes)
    with pytest.raises(WeightsError, match=f"{family} cannot be remapped at .*{word}"):
        remap(old, trained(old).state_dict(), new)


@pytest.mark.parametrize("family", sorted(LARGER))
def test_back_to_the_old_size_is_the_old_network(family: str) -> None:
    """The additions are made faint, so that importance points at what was there before."""
    old, new = plan_of(family), plan_of(family, **LARGER[family])
    network = trained(old)
    before = network.state_dict()
    grown = remap(old, before, new)
    for name, value in grown.items():
        if name in before and name.endswith(".weight") and value.ndim > 1:
            value[before[name].shape[0] :] *= 1e-9
    small = loaded(old, remap(new, grown, old))
    same(network, small, inputs(old), inputs(old))


def random_plan(draw_from: random.Random, *, at_least: X3DPlan | None = None) -> X3DPlan:
    """An X3D of any integers; each at least that of another plan where given."""

    def size(low: int, high: int) -> int:
        return draw_from.randint(low, high)

    def more(value: int) -> int:
        return value + draw_from.choice((0, 1, 5))

    if at_least is None:
        four = range(4)
        return X3DPlan(
            **{"family": "x3d", "frames": 2, "stride": 3, "crop": 40, "num_classes": CLASSES},
            stem=size(3, 9),
            widths=tuple(size(4, 9) for _ in four),
            inners=tuple(size(4, 9) for _ in four),
            depths=tuple(size(1, 3) for _ in four),
            se_widths=tuple(size(2, 5) for _ in four),
            conv5=size(5, 9),
            lin5=size(5, 12),
            res2_shortcut_bn=draw_from.random() < 0.5,
        )
    grown = {
        key: tuple(map(more, value)) if isinstance(value, tuple) else more(value)
        for key, value in vars(at_least).items()
        if key in ("stem", "widths", "inners", "depths", "se_widths", "conv5", "lin5")
    }
    return dataclasses.replace(at_least, **grown)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 8))]
)
def test_x3d_of_any_integers(seed: int) -> None:
    chance = random.Random(seed)
    old = random_plan(chance)
    new = random_plan(chance, at_least=old)
    network = trained(old, seed=seed)
    grown = loaded(new, remap(old, network.state_dict(), new))
    same(network, grown, inputs(old), inputs(old))


def kill(state: dict[str, Tensor], big: X3DPlan, small: X3DPlan, chance: random.Random) -> None:
    """Silence channels at random places, as many as `small` lacks, and the blocks past its end."""

    def dead(have: int, want: int) -> list[int]:
        return chance.sample(range(have), have - want)

    def mute(places: list[int], *norms: str) -> None:
        for norm in norms:
            state[f"{norm}.weight"][places] = 0
            state[f"{norm}.bias"][places] = 0

    mute(dead(big.stem, small.stem), "stem.bn")
    for stage in range(4):
        blocks = [f"res{stage + 2}.{block}" for block in range(big.depths[stage])]
        last = [f"{block}.project_bn" for block in blocks]
        stream = dead(big.widths[stage], small.widths[stage])
        mute(stream, *last, *[n for n in [f"{blocks[0]}.shortcut_bn"] if f"{n}.bias" in state])
        if f"{blocks[0]}.shortcut_bn.bias" not in state:
            state[f"{blocks[0]}.shortcut.weight"][stream] = 0
        for number, block in enumerate(blocks):
            inner = dead(big.inners[stage], small.inners[stage])
            mute(inner, f"{block}.expand_bn", f"{block}.channelwise_bn")
            if number % 2 == 0:
                hidden = dead(big.se_widths[stage], small.se_widths[stage])
                state[f"{block}.se.squeeze.weight"][hidden] = 0
                state[f"{block}.se.squeeze.bias"][hidden] = 0
            if number >= small.depths[stage]:
                mute(list(range(big.widths[stage])), f"{block}.project_bn")
    mute(dead(big.conv5, small.conv5), "head.bn")
    state["head.lin5.weight"][dead(big.lin5, small.lin5)] = 0


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 8))]
)
def test_a_smaller_x3d_drops_what_is_dead_wherever_it_stands(seed: int) -> None:
    chance = random.Random(seed)
    small = random_plan(chance)
    big = random_plan(chance, at_least=small)
    state = dict(trained(big, seed=seed).state_dict())
    kill(state, big, small, chance)
    shrunk = loaded(small, remap(big, state, small))
    same(loaded(big, state), shrunk, inputs(big), inputs(big))


def test_what_is_new_learns_from_the_first_step() -> None:
    """Rows that nobody reads would never move if the columns that read them had no gradient."""
    old, new = plan_of("r3d"), plan_of("r3d", gamma_w=0.25)
    grown = loaded(new, remap(old, trained(old).state_dict(), new))
    grown(*inputs(new)).square().sum().backward()
    reads = grown.get_submodule("res3.0.main.conv1.conv").weight.grad
    assert reads is not None
    width = trained(old).get_submodule("res3.0.main.conv1.conv").in_channels
    assert reads[:, width:].abs().max() > 0


def test_other_classes_get_a_new_last_layer() -> None:
    old = plan_of("x3d")
    new = dataclasses.replace(plan_of("x3d", gamma_w=1.45), num_classes=CLASSES + 3)
    state = trained(old).state_dict()
    torch.manual_seed(3)
    drawn = X3D.build(new).state_dict()["head.fc.weight"]
    torch.manual_seed(3)
    found = remap(old, state, new)
    assert torch.equal(found["head.fc.weight"].float(), drawn)
    kept = state["head.lin5.weight"]
    assert torch.equal(found["head.lin5.weight"][:, : kept.shape[1]], kept)


def test_the_last_layer_is_drawn_anew_where_the_classes_are_others() -> None:
    plan = plan_of("r3d")
    state = trained(plan).state_dict()
    assert torch.equal(remap(plan, state, plan)["head.fc.weight"], state["head.fc.weight"])
    found = remap(plan, state, plan, classifier=False)["head.fc.weight"]
    assert found.abs().max() < 0.1 < state["head.fc.weight"].abs().max()


def test_weights_of_another_network_are_refused() -> None:
    old = plan_of("r3d")
    state = dict(trained(old).state_dict())
    with pytest.raises(WeightsError, match="weights of r3d cannot start a network of x3d"):
        remap(old, state, plan_of("x3d"))
    del state["head.fc.weight"]
    with pytest.raises(WeightsError, match=r"1 missing: head\.fc\.weight"):
        remap(old, state, old)
