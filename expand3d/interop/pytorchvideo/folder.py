"""Target `pytorchvideo`: a folder that rebuilds the network there without expand3d.

model.py builds it with pytorchvideo's builder of the family, weights.safetensors has the weights
under its names, check.py rebuilds and compares with logits that our own network gave, README.md is
the card, and network.json is the description that the json target writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.core.errors import ExportError, Inexpressible
from expand3d.core.genotype import Genotype, Plan
from expand3d.interop import json_folder
from expand3d.interop.card import CARD, card, integers_table
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.pytorchvideo import multipliers, resnets, slowfast
from expand3d.interop.pytorchvideo.files import (
    CHECK,
    COMMANDS,
    MODEL,
    PATHWAYS,
    TRAINED,
    UNTRAINED,
    WINDOW,
)
from expand3d.interop.pytorchvideo.names import to_pytorchvideo
from expand3d.interop.pytorchvideo.spelled import Spelled
from expand3d.interop.spelling import why_not
from expand3d.interop.verify import Verified, difference, named
from expand3d.networks import get_family
from expand3d.networks.families.slowfast import SlowFastPlan

if TYPE_CHECKING:
    from torch import Tensor, nn

TARGET = "pytorchvideo"
#: What spells the networks of a family there.
SPELLERS: Mapping[str, Callable[..., Spelled]] = {
    "x3d": multipliers.spelled,
    "slowfast": slowfast.spelled,
    "slowonly": resnets.slowonly,
    "csn": resnets.csn,
    "r2plus1d": resnets.r2plus1d,
}


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write the folder's files; ExportError where pytorchvideo cannot express the plan."""
    plan = network.plan
    spelled = spelling(plan, network.genotype)
    (folder / "model.py").write_text(_model_source(network, spelled), encoding="utf-8")
    (folder / "check.py").write_text(_check_source(plan), encoding="utf-8")
    sections = {
        "In pytorchvideo": COMMANDS,
        "Integers that it builds": integers_table(spelled.integers),
    }
    (folder / CARD).write_text(card(network, sections), encoding="utf-8")
    # Our names would not load these weights: the description stands for the architecture alone.
    json_folder.write_description(network, folder, weights=None)
    if network.weights:
        _write_tensors(network, folder)


def spelling(plan: Plan, genotype: Genotype | None = None, *, nearest: bool = False) -> Spelled:
    """The builder and the arguments that build `plan`; ExportError where none do."""
    if plan.family not in SPELLERS:
        raise ExportError(
            f"the pytorchvideo target builds {', '.join(SPELLERS)} networks, and this one has "
            f"family = {plan.family!r}; --to json writes every family"
        )
    try:
        return SPELLERS[plan.family](plan, genotype)
    except Inexpressible as error:
        raise Inexpressible(f"--to pytorchvideo: {error}", error.field) from None


def refusal(plan: Plan) -> str | None:
    """The reason why pytorchvideo cannot build `plan`; None where it can."""
    return why_not(spelling, plan)


def _model_source(network: ExportedNetwork, spelled: Spelled) -> str:
    from expand3d.data.crops import MEAN, STD

    plan = network.plan
    dropout = {"dropout_rate": network.recipe.get("dropout", 0.0), "head_activation": None}
    arguments = {**spelled.arguments, **dropout}
    return MODEL.substitute(
        title=network.title,
        family=plan.family,
        **_call(plan),
        module=spelled.module,
        builder=spelled.builder,
        constant=spelled.builder.upper(),
        window=WINDOW if plan.family == "x3d" else "",
        pathways=_pathways(plan),
        state=TRAINED if network.weights else UNTRAINED,
        trained=network.weights is not None,
        frames=plan.frames,
        stride=plan.stride,
        crop=plan.crop,
        fps=network.target_fps,
        mean=MEAN,
        std=STD,
        arguments=_entries(f'"{name}": {value!r}' for name, value in arguments.items()),
        classes=_entries(json.dumps(name, ensure_ascii=False) for name in network.classes),
    )


def _pathways(plan: Plan) -> str:
    """The text that feeds two pathways; nothing for one."""
    if not isinstance(plan, SlowFastPlan):
        return ""
    return PATHWAYS.substitute(slow=slow_frames(plan))


def _check_source(plan: Plan) -> str:
    family = get_family(plan.family)
    theirs = family.variants[TARGET](plan) if TARGET in family.variants else plan
    return CHECK.substitute(parameters=family.cost(theirs).params, **_call(plan))


def _call(plan: Plan) -> dict[str, str]:
    """The names that a caller imports from model.py, and the call that feeds a clip of bytes."""
    if isinstance(plan, SlowFastPlan):
        return {"names": "build, normalise, pathways", "call": "pathways(normalise(clip))"}
    return {"names": "build, normalise", "call": "normalise(clip)"}


def slow_frames(plan: SlowFastPlan) -> list[int]:
    """The frames that our Slow pathway reads."""
    import torch

    slow = -(-plan.frames // plan.alpha)
    places: list[int] = torch.linspace(0, plan.frames - 1, slow).long().tolist()
    return places


def _write_tensors(network: ExportedNetwork, folder: Path) -> None:
    """The renamed weights, and one clip of noise with the logits that our network gives for it."""
    import torch
    from safetensors.torch import save

    from expand3d.data.crops import MEAN, STD
    from expand3d.networks.example import example_views

    ours = network.build()
    weights = to_pytorchvideo(ours.state_dict(), network.plan)
    renamed = {key: value.contiguous() for key, value in weights.items()}
    (folder / json_folder.WEIGHTS).write_bytes(save(renamed))
    # The clip itself is stored, as bytes: a seed gives the same numbers only in the same torch.
    (view_NTHWC,) = example_views(network.plan, 1)
    clip = view_NTHWC.movedim(4, 1).contiguous()
    with torch.no_grad():
        logits = ours((clip.float() / 255 - MEAN) / STD)
    (folder / "check.safetensors").write_bytes(save({"clip": clip, "logits": logits}))


def _entries(lines: Iterable[str]) -> str:
    """The inside of a Python literal with one entry a line."""
    return "".join(f"    {line},\n" for line in lines)


def verify(network: ExportedNetwork, folder: Path) -> list[Verified]:
    """The folder as its own model.py builds it in pytorchvideo: every tensor, and logits."""
    import runpy

    import torch
    from safetensors.torch import load_file

    from expand3d.interop.random_weights import randomised
    from expand3d.networks.example import example

    plan = network.plan
    try:
        built = runpy.run_path(str(folder / "model.py"))
        theirs = built["build"]()
    except (ImportError, RuntimeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        raise ExportError(f"{folder / 'model.py'} does not build it: {first}") from None
    ours, (clip,) = network.build(), example(plan, 2)
    feed = built.get("pathways", lambda clip: clip)  # afresh: their network fills its list
    found = []
    for weights in ("exported", "randomised") if network.weights else ("randomised",):
        if weights == "exported":
            state = load_file(folder / json_folder.WEIGHTS)
        else:
            ours.load_state_dict(randomised(ours.state_dict()))
            state = to_pytorchvideo(ours.state_dict(), plan)
            theirs.load_state_dict(state)
        _refuse_others(theirs, state)
        with torch.no_grad():
            apart = difference(theirs(feed(clip)), ours(clip))
        found.append(Verified(named(TARGET), weights, apart))
    return found


def _refuse_others(theirs: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise ExportError unless the network holds these tensors."""
    held = theirs.state_dict()
    if wrong := [name for name, value in state.items() if not held[name].equal(value)]:
        raise ExportError(f"pytorchvideo reads other values of {', '.join(wrong[:8])}")
