"""Weights of another codebase, or of an export, under our names.

The result is a folder as `expand3d export --to json` writes it: network.json says which network it
is, weights.safetensors holds its weights. `expand3d run --init ./DIR` begins with it. From Python,
expand3d.interop.json_folder.load_export(DIR) reads it and `.build()` makes the network.

Of what `expand3d export` wrote, FILE is the folder, and the network is known. Of all other files
--preset says which it is. Published files, checkpoints of trainings and plain state dicts are read,
without what wrappers put before the names; nothing that a file holds is run. The number of classes
is the file's; with another --num-classes the last layer is drawn anew and all else kept. Unknown
and missing names are listed.

examples:
  expand3d import X3D_M.pyth --preset x3d-m --out x3d-m
  expand3d import r3d_18.pth --preset r3d-18 --num-classes 6 --out r3d-18
  expand3d import SLOWFAST_8x8_R50.pyth --preset slowfast-8x8-r50 --out slowfast
  expand3d import heron-mmaction2 --out heron
  expand3d import resnet50.pth --preset i3d-8x8-r50 --num-classes 1000 --inflate --out i3d
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from expand3d.cli.flags import add_force_flag, setting
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError
from expand3d.core.files import refuse_occupied, refuse_unwritable
from expand3d.core.plugins import CODEBASES

if TYPE_CHECKING:
    from expand3d.interop.network import ExportedNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d import`."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, help=".pth, .pyth, .pt, .safetensors, or an export"
    )
    parser.add_argument(
        "--from",
        dest="codebase",
        choices=CODEBASES,
        help="the codebase whose names it has (default: found by the names)",
    )
    parser.add_argument(
        "--preset", metavar="NAME", help="the network it is of (default: FILE's network.json)"
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change one factor of the preset; may be given several times",
    )
    parser.add_argument(
        "--num-classes",
        metavar="N",
        type=whole(1),
        help="classes of the last layer (default: the file's; another number draws it anew)",
    )
    parser.add_argument(
        "--seed", metavar="N", type=whole(0), default=0, help="of a last layer drawn anew (0)"
    )
    parser.add_argument(
        "--averaged",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take the moving average of the weights (default: where there is nothing else)",
    )
    parser.add_argument(
        "--inflate",
        action="store_true",
        help="the weights are a 2D network's: repeat each kernel over time, and rescale it",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", type=Path, help="folder to write, new or empty"
    )
    add_force_flag(parser)


def main(args: argparse.Namespace) -> int:
    """Write the folder, print its files and what was done; 0."""
    from expand3d.interop.import_weights import import_weights, weights_in

    refuse_occupied(args.out, force=args.force)
    refuse_unwritable(args.out)
    if not args.file.exists():
        raise ConfigError(f"{args.file}: there is no such file")
    file = weights_in(args.file)
    made = import_weights(
        file,
        _network(args, file),
        out=args.out,
        num_classes=args.num_classes,
        codebase=args.codebase,
        inflated=args.inflate,
        averaged=args.averaged,
        seed=args.seed,
        force=args.force,
    )
    for path in made.files:
        print(path)
    for note in made.notes:
        print(note)
    return 0


def _network(args: argparse.Namespace, file: Path) -> ExportedNetwork:
    """The network that the file is of; ConfigError where nothing says which."""
    from expand3d.interop.import_weights import described, of_genotype
    from expand3d.networks import get_family, get_preset

    if args.preset is None:
        if args.set:
            raise ConfigError("--set changes a preset: say which with --preset NAME")
        network = described(file)
        if network is None:
            raise ConfigError(
                f"{file}: say which network it is of with --preset NAME (`expand3d presets` lists "
                "them); only an export has a network.json beside it"
            )
        return network
    preset = get_preset(args.preset)
    family = get_family(preset.genotype.family)
    genotype = preset.genotype.replace(**dict(setting(family, text) for text in args.set))
    # Inflation has no file of its classes to go by, and takes the number that is asked for.
    classes = args.num_classes if args.inflate and args.num_classes else preset.num_classes
    return of_genotype(genotype, name=file.name, num_classes=classes)
