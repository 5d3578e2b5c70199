"""The published networks: what arithmetic gives, beside what their authors printed.

Each figure stands with its convention and source. A printed figure may be cut off or rounded;
nothing here is adjusted to it. Accuracies need training, so they have no computed value.

examples:
  expand3d presets
  expand3d presets --family x3d --json
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from expand3d.cli.tables import print_table
from expand3d.cost.figures import short
from expand3d.networks import all_presets, get_family
from expand3d.networks.family import Preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d presets`."""
    parser.add_argument("--family", metavar="NAME", help="only this family's networks")
    parser.add_argument("--json", action="store_true", help="a list of objects, one per network")


def main(args: argparse.Namespace) -> int:
    """Print the presets; 0."""
    presets = get_family(args.family).presets if args.family else all_presets()
    records = [_record(preset) for preset in presets.values()]
    if args.json:
        print(json.dumps(records, indent=2))
        return 0
    rows = []
    for record in records:
        plan = record["plan"]
        name, clip = record["name"], f"{plan['frames']} x {plan['stride']}, {plan['crop']}"
        for figure in record["figures"]:
            computed = "" if figure["computed"] is None else short(figure["computed"])
            shown = (figure["what"], computed, figure["published"])
            rows.append((name, clip, *shown, figure["convention"], figure["source"]))
            name = clip = ""
    print_table(
        "published networks, computed beside printed (clip: frames x stride, crop)",
        (
            "preset",
            "clip",
            "figure",
            "computed",
            "printed",
            "convention",
            "source",
        ),
        rows,
        numbers=("computed", "printed"),
    )
    return 0


def _record(preset: Preset) -> dict[str, Any]:
    """Everything about one preset that --json writes; `computed` is exact, or null."""
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=preset.num_classes)
    return {
        "name": preset.name,
        "genotype": preset.genotype.to_json(),
        "plan": plan.to_json(),
        "figures": [
            {
                "what": figure.what,
                "computed": family.cost(plan, crop=figure.crop).totals()[figure.key]
                if figure.key
                else None,
                "published": figure.value,
                "convention": figure.convention,
                "source": figure.source,
            }
            for figure in preset.published
        ],
    }
