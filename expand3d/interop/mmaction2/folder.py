"""Target `mmaction2`: configs, weights under its names in its checkpoint format, and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import ExportError, Inexpressible
from expand3d.core.genotype import Genotype, Plan
from expand3d.interop import json_folder
from expand3d.interop.card import CARD, card, integers_table
from expand3d.interop.mmaction2 import others, slowfast, x3d
from expand3d.interop.mmaction2.config import complete, recipe_of, source
from expand3d.interop.mmaction2.names import to_mmaction2
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.spelling import why_not
from expand3d.interop.torch_file import save_whole
from expand3d.interop.verify import Verified, difference, named
from expand3d.networks.families.segments import SegmentPlan
from expand3d.networks.families.slowfast import SlowFastPlan

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "weights.pth"
CONFIG = "config.py"
Model = dict[str, Any]
#: What spells the networks of a family there, and the integers that come of it.
SPELLERS: Mapping[str, tuple[Callable[..., Model], Callable[[Model], Model]]] = {
    "x3d": (x3d.model, x3d.integers),
    "slowfast": (slowfast.model, slowfast.integers),
    "slowonly": (others.slowonly, others.integers),
    "csn": (others.csn, others.integers),
    "r2plus1d": (others.r2plus1d, others.integers),
    "c3d": (others.c3d, others.integers),
    "tsn": (others.tsn, others.integers),
}
COMMANDS = """\
Written for mmaction2 1.1.0 with mmengine 0.10.7 and mmcv-lite 2.0.1 (the wheel of 1.2.0 is broken).
From a checkout of open-mmlab/mmaction2 at v1.1.0, with lists of videos as the configs name them:

```console
$ python tools/train.py FOLDER/{config}
{tests}```

Its loader takes files that do not fit without an error: look for `size mismatch` and
`unexpected key` in its log.
{notes}"""


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write the folder's files; ExportError where MMAction2 cannot express the plan.

    A SlowFast that reads other slow frames there is written, and the README says so.
    """
    plan = network.plan
    spelled = spelling(plan, network.genotype, nearest=True)
    title = f"expand3d, {network.title}, digest {plan.digest}"
    tests = ""
    for name, views, crops in (
        (CONFIG, recipe_of(network).test_views, 1),
        ("test_10x3.py", 10, 3),
    ):
        config = complete(network, spelled, views=views, crops=crops)
        (folder / name).write_text(source(config, title), encoding="utf-8")
        tests += f"$ python tools/test.py FOLDER/{name} FOLDER/{WEIGHTS}  # {views} x {crops}\n"
    json_folder.write_description(network, folder, weights=None)
    integers = SPELLERS[plan.family][1]
    sections = {
        "In MMAction2": COMMANDS.format(config=CONFIG, tests=tests, notes=_notes(network)),
        "Integers that it builds": integers_table(integers(spelled)),
    }
    (folder / CARD).write_text(card(network, sections), encoding="utf-8")
    if network.weights:
        state = to_mmaction2(network.build().state_dict(), plan)
        save_whole({"state_dict": state}, folder / WEIGHTS)


def spelling(
    plan: Plan, genotype: Genotype | None = None, *, nearest: bool = False
) -> dict[str, Any]:
    """Backbone and head of `plan` there; ExportError where they cannot express it."""
    if plan.family not in SPELLERS:
        raise ExportError(
            f"the mmaction2 target builds {', '.join(SPELLERS)} networks, and this one has "
            f"family = {plan.family!r}; --to json writes every family"
        )
    model, _ = SPELLERS[plan.family]
    try:
        if isinstance(plan, SlowFastPlan):
            return slowfast.model(plan, genotype, nearest=nearest)
        return model(plan, genotype)
    except Inexpressible as error:
        raise Inexpressible(f"--to mmaction2: {error}", error.field) from None


def refusal(plan: Plan) -> str | None:
    """The reason why MMAction2 cannot build `plan`; None where it can."""
    return why_not(spelling, plan)


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """The folder as MMAction2 itself reads it: every tensor, and logits."""
    import torch

    from expand3d.interop.random_weights import randomised
    from expand3d.networks.example import example

    ours, theirs, plan = network.build(), built(folder), network.plan
    (clip,) = example(plan, 2)
    if isinstance(plan, SlowFastPlan):
        clip = slowfast.alike(plan, clip)
    found = []
    for weights in ("exported", "randomised") if network.weights else ("randomised",):
        if weights == "exported":
            state = torch.load(folder / WEIGHTS, weights_only=True)["state_dict"]
        else:
            ours.load_state_dict(randomised(ours.state_dict()))
            state = to_mmaction2(ours.state_dict(), plan)
        # Pictures of a video's parts are views there, and a clip is one view.
        views = clip.transpose(1, 2) if isinstance(plan, SegmentPlan) else clip[:, None]
        with torch.no_grad():
            apart = difference(_logits(theirs, state, views), ours(clip))
        found.append(Verified(named("mmaction2"), weights, apart))
    return found


def built(folder: Path) -> nn.Module:
    """The network that MMAction2 builds of the folder's config, in eval mode."""
    import mmaction.models  # noqa: F401  its networks register themselves
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    config = Config.fromfile(folder / CONFIG)
    init_default_scope(config.default_scope)
    network: nn.Module = MODELS.build(config.model)
    network.eval()  # of X3D's backbone this returns None
    return network


def _logits(theirs: nn.Module, state: Mapping[str, Tensor], views: Tensor) -> Tensor:
    """N x classes; ExportError unless every tensor is in its place."""
    theirs.load_state_dict(state)
    held = theirs.state_dict()
    if wrong := [name for name, value in state.items() if not held[name].equal(value)]:
        raise ExportError(f"MMAction2 reads other values of {', '.join(wrong[:8])}")
    logits: Tensor = theirs(views, mode="tensor", stage="head")
    return logits


def _notes(network: ExportedNetwork) -> str:
    recipe, plan = recipe_of(network), network.plan
    said = []
    if recipe.epochs is None:
        said.append(
            f"The recipe counts clips ({recipe.clip_visits:,} visits): set max_epochs to that over "
            "the clips of train.txt, and the schedules with it; the file has the paper's 256."
        )
    if isinstance(plan, SlowFastPlan) and len(set(slowfast.slow_frames(plan))) > 1:
        said.append(
            "Its Slow pathway reads every alpha-th frame, ours frames spread to the last: logits "
            "differ, and the accuracy above is not that of this file."
        )
    return "\n".join(said)
