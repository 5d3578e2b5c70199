"""A study on a Ray cluster of two nodes, one of which dies on the way, beside one process's.

    python benchmarks/ray_two_nodes.py --data DIR [--budget 0.04GFLOPs] [--recipe clip_visits=320]

Runs the study twice, with any flags of `expand3d run`: in this process, and on two Ray nodes that
are started here. As soon as both nodes are in a training that has a checkpoint, one node is killed
with all that it has started. Prints what was lost, where it went on, and the first value in which
the two records differ; clocks, memory and who ran it are left out. Exits with 1 where they differ
or where no training was lost.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile

from two_nodes import facts, first_difference, in_this_process, with_a_node_lost

from expand3d.cli.flags import add_config_flags, config_values
from expand3d.study.config import StudyConfig, keys

#: Flags of `run` that this script sets itself.
OURS = {"name", "root", "storage", "executor", "workers", "devices", "device", "address"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_config_flags(parser, set(keys()) - OURS)
    parser.set_defaults(budget="0.04GFLOPs", threads=1)
    config = StudyConfig.from_mapping(config_values(parser.parse_args()))
    config = dataclasses.replace(config, name="study", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        print("in this process", file=sys.stderr)
        one = in_this_process(config, f"{folder}/one")
        print("on two nodes", file=sys.stderr)
        other, loss = with_a_node_lost(config, f"{folder}/two")
        mine, theirs, lost = facts(one), facts(other), loss.went_on(other)
    difference = first_difference(mine, theirs)
    scores = sum("/scores/" in place for place in mine)
    print(f"trials     {len(one.trials())} here, {len(other.trials())} on two nodes")
    print(
        f"killed     {len(loss.killed)} processes of a node, {len(loss.trainings)} of them training"
    )
    for number, (before, after) in lost.items():
        print(f"retried    trial {number}: last heard of at visit {before}, then at {after}")
    print(
        f"records    {difference or f'equal in {len(mine):,} values, {scores:,} of them of scores'}"
    )
    return 0 if lost and difference is None else 1


if __name__ == "__main__":
    sys.exit(main())
