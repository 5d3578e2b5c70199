"""SlowOnly, I3D-R50, CSN, C3D and TSN in MMAction2, held to what its own code gave."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from expand3d.core.errors import ExportError, WeightsError
from expand3d.interop.import_weights import import_weights, of_genotype
from expand3d.interop.json_folder import load_export
from expand3d.interop.mmaction2 import others
from expand3d.interop.mmaction2.folder import spelling
from expand3d.interop.mmaction2.names import from_mmaction2, to_mmaction2
from expand3d.networks import all_presets, get_family
from tests.helpers.peers import assert_logits, filled, golden

ROWS = golden("mmaction2_others")
#: Each row that is one of ours, and our preset of its network.
OURS = {
    "tsn-r50-3seg": "tsn-r50-1x1x3",
    "c3d": "c3d-ucf101",
    "c3d-bn": "c3d-ucf101",
    "i3d-r50": "i3d-32x2-r50",
    "ircsn-r152": "ir-csn-152",
    "ipcsn-r152": "ip-csn-152",
    "ircsn-r50": "ir-csn-50",
    "slowonly-r50": "slowonly-8x8-r50",
}
#: Rows of networks that are none of ours, and the tensor or setting that says so.
NOT_OURS = {
    "r2plus1d-r34": "backbone.layer2.0.downsample.conv.conv_t.weight",
    "c2d-r50": "its stem's max-pool has no padding",
}
#: Seconds of drawn weights, or deep.
SLOW = ("c3d", "c3d-bn", "ircsn-r152", "ipcsn-r152", "i3d-r50", "slowonly-r50")
#: MMAction2's CSN adds 1e-3 to a variance, our networks 1e-5.
EPS = 1e-3 - 1e-5


def plan_of(name: str) -> Any:
    row = ROWS[name]
    genotype = all_presets()[OURS[name]].genotype
    if name == "c3d-bn":
        genotype = genotype.replace(batch_norm=1)
    *_, frames, side, _ = row["run"]["input_shape"]
    classes = row["model"]["cls_head"]["num_classes"]
    plan = get_family(genotype.family).resolve(genotype, num_classes=classes)
    if name == "tsn-r50-3seg":
        return dataclasses.replace(plan, crop=side)
    return dataclasses.replace(plan, frames=frames, crop=side)


def test_every_row_is_one_of_ours_or_says_why_not() -> None:
    assert OURS.keys() | NOT_OURS.keys() == ROWS.keys()
    assert NOT_OURS["r2plus1d-r34"] in ROWS["r2plus1d-r34"]["state_dict"]
    assert ROWS["c2d-r50"]["model"]["backbone"]["type"] == "C2D"


@pytest.mark.parametrize(
    ("name", "preset", "named"),
    [
        (
            "r2plus1d-r34",
            "r2plus1d-34-mmaction2-8x8",
            "no names of r2plus1d|no weights of r2plus1d",
        ),
        ("c2d-r50", "c2d-8x8-r50", "of another shape: stem.conv.conv.weight"),
    ],
)
def test_a_network_that_is_none_of_ours_is_refused_by_name(
    name: str, preset: str, named: str
) -> None:
    genotype = all_presets()[preset].genotype
    plan = get_family(genotype.family).resolve(genotype)
    made = {
        key: torch.zeros(shape)
        for key, shape in ROWS[name]["state_dict"].items()
        if "layer4" not in key
    }
    with pytest.raises(WeightsError, match=named):
        from_mmaction2(made, plan)


@pytest.mark.parametrize("name", OURS)
def test_the_integers_of_their_config_are_those_of_our_spelling(name: str) -> None:
    theirs, plan = ROWS[name]["model"], plan_of(name)
    found = spelling(plan)
    assert others.integers(found) == others.integers(theirs)
    assert found["cls_head"]["in_channels"] == theirs["cls_head"]["in_channels"]
    assert found["cls_head"]["type"] == theirs["cls_head"]["type"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in OURS]
)
def test_their_weights_give_their_logits_here_and_go_back_the_same(name: str) -> None:
    row, plan = ROWS[name], plan_of(name)
    theirs = filled(row)
    ours = from_mmaction2(theirs, plan)
    network = get_family(plan.family).build(plan)
    assert sum(each.numel() for each in network.parameters()) == row["params"]
    back = to_mmaction2(ours, plan)
    assert {key: list(value.shape) for key, value in back.items()} == row["state_dict"]
    assert all(back[key].equal(theirs[key]) for key in theirs)
    if plan.family == "csn":
        ours = {k: v + EPS if k.endswith("running_var") else v for k, v in ours.items()}
    network.load_state_dict(ours)
    shape = row["run"]["input_shape"]
    if plan.family == "tsn":
        assert_logits(network, row["run"], tuple(shape), axes=(0, 2, 1, 3, 4))
    else:
        assert_logits(network, row["run"], (shape[0], *shape[2:]))


@pytest.mark.parametrize(
    ("preset", "changed", "named"),
    [
        ("c2d-8x8-r50", {"stem": 60}, "widths = "),
        ("slowonly-8x8-r50", {"inners": (64, 128, 256, 500)}, "inners = .*500.* is .*512"),
        ("slowonly-8x8-r50", {"kernels": ((1,), (1,), (1,), (1,))}, "depths = "),
        ("ir-csn-50", {"inners": (32, 64, 128, 256)}, "inners = "),
        ("c3d-vmz", {}, "pool_padding = 0 .* is 1"),
        ("c3d-gap", {}, "fc = None .* is 4096"),
        ("c3d-ucf101", {"widths": (32, 64, 128, 256, 256)}, "widths = "),
        ("r2plus1d-34-mmaction2-8x8", {}, "shortcuts = one 1x1x1"),
        ("tsn-bninception-rgb", {}, "backbone = bn-inception"),
        ("tsn-bninception-flow", {}, r"streams = \('flow',\)"),
    ],
)
def test_what_it_cannot_build_is_refused_by_name(
    preset: str, changed: dict[str, Any], named: str
) -> None:
    genotype = all_presets()[preset].genotype
    plan = get_family(genotype.family).resolve(genotype, num_classes=7)
    with pytest.raises(ExportError, match=f"--to mmaction2: MMAction2's .*{named}"):
        spelling(dataclasses.replace(plan, **changed))


def test_a_published_csn_keeps_what_its_batch_norms_do(tmp_path: Path) -> None:
    """Its eps is in no file: running variances are larger by the difference."""
    genotype = all_presets()["ir-csn-50"].genotype.replace(gamma_w=0.125)
    network = of_genotype(genotype, name="csn", num_classes=7)
    theirs = to_mmaction2(get_family("csn").build(network.plan).state_dict(), network.plan)
    torch.save({"state_dict": theirs}, tmp_path / "csn.pth")
    made = import_weights(tmp_path / "csn.pth", network, out=tmp_path / "out")
    assert "add 0.001 to a variance and ours 1e-05" in made.notes[1]
    held = load_export(tmp_path / "out").build().state_dict()
    torch.testing.assert_close(held["stem.conv.bn.running_var"], torch.full((8,), 1 + EPS))
