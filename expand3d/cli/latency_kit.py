"""A folder that times networks on another device, which needs onnxruntime and numpy alone.

NETWORK is a preset, STUDY:NUMBER for a trial, or an exported network.json. The folder holds them as
ONNX files with random weights, and time_networks.py. Copy it to the device, run the script, and
bring back the CSV that it prints:

  python time_networks.py --device pi5 --threads 4 > pi5.csv

A search may then have a budget in that device's time. Networks of the table have the latency that
was measured, all others a predicted one, with its error; the more networks of the size and the
family in question a kit has, the better.

examples:
  expand3d latency-kit x3d-xs x3d-s x3d-m x2d --num-classes 6 --out kit
  expand3d latency-kit quiet-heron:3 quiet-heron:7 quiet-heron:9 x3d-xs --out kit
  expand3d run --budget 25ms@pi5 --latencies pi5.csv --data videos/
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from expand3d.cli.flags import add_record_flags
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError

if TYPE_CHECKING:
    from expand3d.core.genotype import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d latency-kit`."""
    parser.add_argument("networks", metavar="NETWORK", nargs="+", help="as for `run --start`")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument(
        "--num-classes", metavar="N", type=whole(1), default=400, help="of the last layer (400)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    add_record_flags(parser)


def main(args: argparse.Namespace) -> int:
    """Write the folder and print its files; 0."""
    from expand3d.interop.kit.folder import write_kit
    from expand3d.networks import get_family
    from expand3d.run.start import find_start

    plans: dict[str, Plan] = {}
    for name in args.networks:
        genotype = find_start(name, root=args.root, storage=args.storage)
        plan = get_family(genotype.family).resolve(genotype, num_classes=args.num_classes)
        twice = next((other for other, known in plans.items() if known == plan), None)
        if twice is not None:
            raise ConfigError(f"{name} and {twice} are the same network; give it once")
        plans[name] = plan
    for path in write_kit(plans, args.out, force=args.force):
        print(path)
    return 0
