"""README.md of an export: what the network is, costs and scored, and how to use it there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expand3d.core.scores import wilson
from expand3d.interop.network import TRAINING_CLIPS, ExportedNetwork
from expand3d.networks import get_family

CARD = "README.md"


def card(network: ExportedNetwork, sections: Mapping[str, str]) -> str:
    """Markdown: the network's figures, then a section for each title and text."""
    plan = network.plan
    cost = get_family(plan.family).cost(plan)
    kept = "trained" if network.weights else "NOT trained: its weights were not kept"
    inputs = ", ".join(
        f"{each.kind}: {each.channels} channels x {each.pictures} pictures x {each.crop} x "
        f"{each.crop}, {each.stride} apart"
        for each in plan.inputs
    )
    rows = [
        ("network", f"{plan.family}, digest {plan.digest}, {kept}"),
        ("reads", f"{inputs}; target frame rate {network.target_fps}"),
        ("GMACs", f"{cost.macs / 1e9:.4f} (conv + linear multiply-adds, one clip, train crop)"),
        ("fvcore", f"{cost.fvcore_flops / 1e9:.4f} G (the same and 2 per BatchNorm element)"),
        ("parameters", f"{cost.params:,}"),
        ("classes", f"{plan.num_classes}"),
        *(_score(name, score) for name, score in network.scores.items()),
        *(_fact(name, value) for name, value in network.provenance.items() if name != "recipe"),
    ]
    table = "".join(f"| {name} | {value} |\n" for name, value in rows)
    text = "\n".join(f"## {title}\n\n{body.strip()}\n" for title, body in sections.items())
    return f"# {network.title}\n\n| | |\n|---|---|\n{table}\n{text}"


def runtime_card(network: ExportedNetwork, runtime: str, reads: str, code: str) -> str:
    """The card of a file for a runtime: what it reads, and the code that runs it."""
    said = (
        f"For any number of clips: {reads}. Its output is logits, N x "
        f"{network.plan.num_classes}.\n\n"
        f"```python\n{code.strip()}\n```"
    )
    return card(network, {f"In {runtime}": said})


def integers_table(integers: Mapping[str, Any]) -> str:
    """The integers that the target builds, a line each."""
    return "".join(f"- {name}: {value}\n" for name, value in integers.items())


def _score(name: str, score: Mapping[str, Any]) -> tuple[str, str]:
    """Top-1 with its 95% Wilson interval, where the number of clips is known."""
    if "top1" not in score:
        return f"score, {name}", _short(score)
    text = f"{score['top1']:.1%}"
    if clips := score.get("clips"):
        low, high = wilson(score["top1"] * clips, clips)
        text += f" (95% interval {low:.1%} to {high:.1%}, {clips} clips)"
    return f"top-1, {name}", text


def _fact(name: str, value: Any) -> tuple[str, str]:
    """A line of provenance; a data set of thousands of clips is counted, not listed."""
    if name == TRAINING_CLIPS:
        return "training clips", f"{len(value)}, whose hashes are in network.json"
    return name, _short(value)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(each)}" for key, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value).replace("|", "\\|")
