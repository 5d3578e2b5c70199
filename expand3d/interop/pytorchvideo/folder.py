"""Target `pytorchvideo`: a folder that rebuilds the network there without expand3d.

model.py builds it with `create_x3d`, weights.safetensors has the weights under pytorchvideo's
names, check.py rebuilds and compares with logits that our own network gave, and network.json is
the description that the json target writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from expand3d.core.errors import ExportError
from expand3d.core.genotype import Genotype, Plan
from expand3d.interop import json_folder
from expand3d.interop.network import ExportedNetwork
from expand3d.interop.pytorchvideo.files import CHECK, MODEL, TRAINED, UNTRAINED
from expand3d.interop.pytorchvideo.multipliers import create_x3d_arguments
from expand3d.interop.spelling import why_not
from expand3d.interop.verify import Verified, difference, named
from expand3d.networks import get_family
from expand3d.networks.families.x3d import X3DPlan

TARGET = "pytorchvideo"


def write(network: ExportedNetwork, folder: Path) -> None:
    """Write the folder's files; ExportError where pytorchvideo cannot express the plan."""
    plan = network.plan
    arguments = spelling(plan, network.genotype)
    assert isinstance(plan, X3DPlan)
    arguments |= {"dropout_rate": network.recipe.get("dropout", 0.0), "head_activation": None}
    (folder / "model.py").write_text(_model_source(network, arguments), encoding="utf-8")
    (folder / "check.py").write_text(_check_source(plan), encoding="utf-8")
    # Our names would not load these weights: the description stands for the architecture alone.
    json_folder.write_description(network, folder, weights=None)
    if network.weights:
        _write_tensors(network, plan, folder)


def spelling(
    plan: Plan, genotype: Genotype | None = None, *, nearest: bool = False
) -> dict[str, Any]:
    """The arguments of `create_x3d` that build `plan`; ExportError where none do."""
    if not isinstance(plan, X3DPlan):
        raise ExportError(
            f"the pytorchvideo target builds x3d networks only, and this one has family = "
            f"{plan.family!r}; --to json writes every family"
        )
    return create_x3d_arguments(plan, genotype)


def refusal(plan: Plan) -> str | None:
    """The reason why pytorchvideo cannot build `plan`; None where it can."""
    return why_not(spelling, plan)


def _model_source(network: ExportedNetwork, arguments: dict[str, Any]) -> str:
    from expand3d.data.crops import MEAN, STD

    plan = network.plan
    return MODEL.substitute(
        title=network.title,
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


def _check_source(plan: X3DPlan) -> str:
    family = get_family(plan.family)
    theirs = family.variants[TARGET](plan)
    return CHECK.substitute(parameters=family.cost(theirs).params)


def _write_tensors(network: ExportedNetwork, plan: X3DPlan, folder: Path) -> None:
    """The renamed weights, and one clip of noise with the logits that our network gives for it."""
    import torch
    from safetensors.torch import save

    from expand3d.data.crops import MEAN, STD
    from expand3d.networks.example import example_views
    from expand3d.networks.weights.x3d_names import to_pytorchvideo

    ours = network.build()
    weights = to_pytorchvideo(ours.state_dict(), plan)
    renamed = {key: value.contiguous() for key, value in weights.items()}
    (folder / json_folder.WEIGHTS).write_bytes(save(renamed))
    # The clip itself is stored, as bytes: a seed gives the same numbers only in the same torch.
    (view_NTHWC,) = example_views(plan, 1)
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
    from expand3d.networks.weights.x3d_names import to_pytorchvideo

    plan = network.plan
    assert isinstance(plan, X3DPlan)
    try:
        theirs = runpy.run_path(str(folder / "model.py"))["build"]()
    except (ImportError, RuntimeError, AttributeError) as error:
        first = str(error).splitlines()[0]
        raise ExportError(f"{folder / 'model.py'} does not build it: {first}") from None
    ours, (clip,) = network.build(), example(plan, 2)
    found = []
    for weights in ("exported", "randomised") if network.weights else ("randomised",):
        if weights == "exported":
            state = load_file(folder / json_folder.WEIGHTS)
        else:
            ours.load_state_dict(randomised(ours.state_dict()))
            state = to_pytorchvideo(ours.state_dict(), plan)
            theirs.load_state_dict(state)
        held = theirs.state_dict()
        if wrong := [name for name, value in state.items() if not held[name].equal(value)]:
            raise ExportError(f"pytorchvideo reads other values of {', '.join(wrong[:8])}")
        with torch.no_grad():
            apart = difference(theirs(clip), ours(clip))
        found.append(Verified(named(TARGET), weights, apart))
    return found
