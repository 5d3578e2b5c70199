"""Weights that torchvision, pytorchvideo or PySlowFast published, under our names.

The result is a folder as `expand3d export --to json` writes it: network.json says which network it
is, weights.safetensors holds its weights. From Python,
expand3d.interop.json_folder.load_export(DIR) reads it and `.build()` makes the network. Unknown and
missing names are listed.

examples:
  expand3d convert X3D_M.pyth --preset x3d-m --out x3d-m
  expand3d convert r3d_18.pth --preset r3d-18 --out r3d-18
  expand3d convert SLOWFAST_8x8_R50.pyth --preset slowfast-8x8-r50 --out slowfast
  expand3d convert resnet50.pth --preset i3d-8x8-r50 --num-classes 1000 --inflate --out i3d
"""

from __future__ import annotations

import argparse
from pathlib import Path

from expand3d.cli.flags import add_force_flag, setting
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError
from expand3d.core.files import refuse_occupied, refuse_unwritable
from expand3d.networks import get_family, get_preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d convert`."""
    parser.add_argument("file", metavar="FILE", type=Path, help=".pth, .pyth, .pt or .safetensors")
    parser.add_argument("--preset", required=True, metavar="NAME", help="the network it is of")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change one factor of the preset; may be given several times",
    )
    parser.add_argument(
        "--num-classes", metavar="N", type=whole(), help="classes of its last layer (the preset's)"
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
    """Write the folder and print its files; 0."""
    from expand3d.interop.import_weights import import_weights

    if not args.file.is_file():
        raise ConfigError(f"{args.file}: there is no such file")
    refuse_occupied(args.out, force=args.force)
    refuse_unwritable(args.out)
    preset = get_preset(args.preset)
    family = get_family(preset.genotype.family)
    genotype = preset.genotype.replace(**dict(setting(family, text) for text in args.set))
    classes = preset.num_classes if args.num_classes is None else args.num_classes
    written = import_weights(
        args.file,
        genotype,
        out=args.out,
        num_classes=classes,
        inflated=args.inflate,
        force=args.force,
    )
    for path in written:
        print(path)
    return 0
