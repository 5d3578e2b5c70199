"""The contract of a family: its twin is what fvcore counts, its axes grow, its networks train."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from expand3d.core.errors import FactorError
from expand3d.core.genotype import Genotype, Plan
from expand3d.core.plugins import FAMILIES
from expand3d.interop.formats import export
from expand3d.interop.json_folder import load_export
from expand3d.interop.network import ExportedNetwork
from expand3d.measure.fvcore import measure
from expand3d.networks import get_family, plan_from_json
from expand3d.networks.family import Family, Limits
from expand3d.search.expansion.solve import Exhausted, Solution, solve

LIMITS = Limits(crop=160, duration=64)


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return get_family(request.param)


def macs(family: Family, genotype: Genotype) -> int:
    return family.cost(family.resolve(genotype, num_classes=5)).macs


def doubled(family: Family) -> dict[str, Solution | Exhausted]:
    """The base with each axis taken to about twice its cost."""
    target = 2 * macs(family, family.base)
    return {
        axis: solve(
            family,
            axis,
            family.base,
            target=target,
            ceiling=None,
            limits=LIMITS,
            num_classes=5,
        )
        for axis in family.axes
    }


def networks(family: Family, count: int) -> list[Plan]:
    """The base, its doublings, and random small networks."""
    draw = random.Random(family.name)
    found = [family.base]
    found += [s.genotype for s in doubled(family).values() if isinstance(s, Solution)]
    while len(found) < count:
        genotype = found[draw.randrange(len(found))]
        axis = draw.choice(family.axes)
        settings = list(itertools.islice(family.grow(axis, genotype, LIMITS), 12))
        settings += itertools.islice(family.shrink(axis, genotype), 6)
        if settings:
            grown = draw.choice(settings)
            if macs(family, grown) < 5 * macs(family, family.base):
                found.append(grown)
    return [family.resolve(genotype, num_classes=5) for genotype in found[:count]]


def test_its_base_is_small_enough_to_expand_from(family: Family) -> None:
    assert macs(family, family.base) < 60e6


def test_every_axis_of_the_base_grows_or_says_why_not(family: Family) -> None:
    before = macs(family, family.base)
    for axis, found in doubled(family).items():
        if isinstance(found, Exhausted):
            assert found.reason
        else:
            assert found.macs >= 1.05 * before, axis
    assert sum(isinstance(found, Solution) for found in doubled(family).values()) >= 3


def test_settings_grow_ever_costlier_and_shrink_ever_cheaper(family: Family) -> None:
    for axis in family.axes:
        start = next(iter(family.grow(axis, family.base, LIMITS)), family.base)
        up = [macs(family, g) for g in itertools.islice(family.grow(axis, start, LIMITS), 40)]
        down = [macs(family, g) for g in family.shrink(axis, start)]
        assert up == sorted(up), axis
        assert down == sorted(down, reverse=True), axis


def counted_by_fvcore(family: Family, plan: Plan) -> None:
    """fvcore's count of the built network, layer by layer, is the twin's."""
    cost, measured = family.cost(plan), measure(plan)
    twin = {op.name: op.flops for op in cost.operators}
    assert {name: sum(kinds.values()) for name, kinds in measured.by_module.items()} == twin
    assert measured.total == cost.fvcore_flops
    parameters = [p.numel() for p in family.build(plan).parameters()]
    assert cost.params == sum(parameters)


#: Two streams of networks that are counted by themselves; a test of many counts them too.
COMPOSED = {"i3d_twostream", "r2plus1d_twostream", "s3d_twostream"}


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - COMPOSED), indirect=True)
def test_the_cost_is_what_fvcore_counts_layer_by_layer(family: Family) -> None:
    """Of the base with its first axis doubled."""
    counted_by_fvcore(family, networks(family, 2)[1])


@pytest.mark.slow
def test_the_cost_is_what_fvcore_counts_on_many_networks(family: Family) -> None:
    for plan in networks(family, 40):
        counted_by_fvcore(family, plan)


def test_every_preset_is_legal_and_costed(family: Family) -> None:
    for preset in family.presets.values():
        plan = family.resolve(preset.genotype, num_classes=preset.num_classes)
        assert family.cost(plan).macs > 0
        assert family.cost(plan, crop=plan.crop + 32).macs > family.cost(plan).macs


def test_it_reads_several_sizes_and_refuses_smaller_ones_with_the_smallest(family: Family) -> None:
    plan = family.resolve(family.base, num_classes=5)
    network = family.build(plan).eval()
    with torch.no_grad():
        for frames, height, width in ((0, 0, 0), (8, 16, 0), (3, 9, 5)):
            clips = [
                torch.zeros(2, c, t + frames, h + height, w + width)
                for c, t, h, w in (each.shape for each in plan.inputs)
            ]
            assert network(*clips).shape == (2, 5)
    family.resolve(family.base.replace(gamma_s=family.factors["gamma_s"].low))
    with pytest.raises(FactorError, match=r"smallest|nearest"):
        family.resolve(family.base.replace(gamma_s=0.01))


def test_no_class_at_all_is_refused(family: Family) -> None:
    with pytest.raises(FactorError, match="num_classes = 0 must be at least 1"):
        family.resolve(family.base, num_classes=0)


def test_every_parameter_learns(family: Family) -> None:
    torch.manual_seed(0)
    for plan in networks(family, 2):
        network = family.build(plan)
        for name, parameter in network.named_parameters():  # zeros would hide what is before them
            if not parameter.any() and name.endswith("weight"):
                torch.nn.init.normal_(parameter, std=0.5)
        found = network(*(torch.randn(2, *each.shape) for each in plan.inputs))
        streams = found if isinstance(found, tuple) else (found,)  # a loss per stream
        losses = [torch.nn.functional.cross_entropy(each, torch.tensor([0, 1])) for each in streams]
        sum(losses).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name


def test_plans_and_genotypes_survive_json(family: Family) -> None:
    for plan in networks(family, 6):
        again = plan_from_json(json.loads(json.dumps(plan.to_json())))
        assert again == plan and again.digest == plan.digest
    kept = json.loads(json.dumps(family.base.to_json()))
    assert Genotype.from_json(kept) == family.base


def test_a_network_with_its_weights_is_exported_to_json_and_rebuilt(
    family: Family, tmp_path: Path
) -> None:
    plan = networks(family, 2)[1]
    torch.manual_seed(0)
    network = family.build(plan).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    kept = ExportedNetwork(
        study="made-up",
        trial=1,
        genotype=family.base,
        plan=plan,
        recipe={},
        weights=tmp_path / "weights.safetensors",
    )
    export(kept, target="json", out=tmp_path / "out")
    again = load_export(tmp_path / "out")
    assert again.plan == plan
    clip = [torch.randn(1, *each.shape) for each in plan.inputs]
    with torch.no_grad():
        assert torch.equal(again.build()(*clip), network(*clip))
