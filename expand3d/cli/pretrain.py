"""Pretrain without labels: by a frozen 2D network, by how clips are played, or to find flow.

With a teacher half of the pairs are a clip and its own frames, half a clip and the frames of
another video. The result is a folder as `expand3d export --to json` writes it, with a line per step
in pretrain.jsonl. Ctrl-C stops cleanly; the same command goes on.

examples:
  expand3d pretrain t3d --data videos/ --teacher my-2d-export --set gamma_t=16 --out pretrained
  expand3d pretrain t3d --preset t3d-121 --data list.csv --out pretrained \\
      --teacher densenet121.pth --teacher-preset densenet-121

  expand3d pretrain playback --data videos/ --set gamma_t=8 --out playback
  expand3d pretrain motionnet --data videos/ --out flow

`playback` tells forward from backward and one speed from twice that, on training clips alone; then
`expand3d run --data videos/ --init ./playback` begins with the weights (same --seed, same parts).

`motionnet` learns optical flow from the clips alone: a frame is told from the one before it. The
result is a hidden two-stream network, and flow.png shows its flow beside OpenCV's.

The teacher is a network of any family that reads single frames: a folder of `expand3d export --to
json`, or a state dict of the published network that --teacher-preset names.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from expand3d.cli.flags import add_config_flags, add_force_flag, config_values, setting
from expand3d.cli.parser import number, whole
from expand3d.core.errors import ConfigError, DataError
from expand3d.core.genotype import Genotype
from expand3d.core.recipe import Recipe
from expand3d.networks import get_family, get_preset
from expand3d.networks.family import Family

if TYPE_CHECKING:
    from expand3d.cli.live import PlainWatch
    from expand3d.run.pretrain_motion import MotionPretrained, MotionPretraining

R = TypeVar("R")

#: What to pretrain in place of a family: the network that finds flow.
MOTION = "motionnet"
#: What to pretrain in place of a family: a network that tells how a clip is played.
PLAYBACK = "playback"
#: The picture of its flow, in the folder of the result.
PICTURE = "flow.png"
#: Keys of a study file that a pretraining has too.
KEYS = (
    *(
        "data",
        "prefix",
        "val_data",
        "group_by_name",
        "fps",
        "val",
        "test",
        "val_groups",
        "test_groups",
        "skip_bad",
        "cache_cap",
    ),
    *("seed", "device", "threads", "workers"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d pretrain`."""
    parser.add_argument(
        "family", metavar="FAMILY", help=f"the student's network family, {PLAYBACK} or {MOTION}"
    )
    parser.add_argument("--preset", metavar="NAME", help="student; the family's base if left out")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change one factor of the student; may be given several times",
    )
    parser.add_argument("--teacher", metavar="FILE", type=Path, help="the frozen 2D network")
    parser.add_argument(
        "--teacher-preset", metavar="NAME", help="the network that FILE's state dict is of"
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", type=Path, help="folder to write, new or empty"
    )
    parser.add_argument(
        "--clip-visits",
        type=whole(1),
        metavar="N",
        help="pairs, or clips, seen in all (default: 4000; 8000 of flow)",
    )
    parser.add_argument("--batch", type=whole(1), metavar="N", help="pairs of a step (default: 16)")
    parser.add_argument(
        "--lr",
        type=number(0),
        metavar="X",
        help="highest learning rate (default: 0.1; 0.001 of flow)",
    )
    add_force_flag(parser)
    add_config_flags(parser, only=KEYS)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def main(args: argparse.Namespace) -> int:
    """Pretrain and say how well that went; 0, or 130 where it was stopped."""
    kind = {MOTION: _motion, PLAYBACK: _playback}.get(args.family)
    if kind is None:
        return _transfer(args)
    if args.teacher is not None or args.teacher_preset is not None:
        raise ConfigError(f"{args.family} learns without a teacher")
    return kind(args)


def _transfer(args: argparse.Namespace) -> int:
    """Learn from a frozen 2D network and say how many pairs are told apart."""
    if args.teacher is None:
        raise ConfigError(f"--teacher FILE is needed to pretrain {args.family}")
    from expand3d.run.pretrain import RECIPE, SCORE, Pretraining, pretrain

    wanted = Pretraining(
        **_wanted(args, get_family(args.family), RECIPE),
        teacher=args.teacher,
        teacher_preset=args.teacher_preset,
    )
    watch, scores = _carried(partial(pretrain, wanted), seen=", pairs")
    if scores is None:
        return _stopped(args, watch)
    score = scores[SCORE]
    said = (
        f"{score['accuracy']:.1%} of {score['pairs']} held-out pairs told apart (chance 50%); "
        f"the network and its weights: {args.out}"
    )
    return _told(args, score, said)


def _motion(args: argparse.Namespace) -> int:
    """Learn flow and say how much better frames match under it than under none."""
    from expand3d.core.plugins import MOTION_FAMILY
    from expand3d.run.pretrain_motion import RECIPE, MotionPretraining, pretrain_motion

    wanted = MotionPretraining(**_wanted(args, get_family(MOTION_FAMILY), RECIPE))
    watch, found = _carried(partial(pretrain_motion, wanted))
    if found is None:
        return _stopped(args, watch)
    ends = _draw(wanted, found, watch)
    score = {**found.scores, **ends}
    said = (
        f"brightness loss of {score['clips']} held-out clips: {score['loss']:.3f}, and "
        f"{score['loss_of_no_flow']:.3f} without flow; the network and its weights: {args.out}"
    )
    if ends:
        said = (
            f"end-point error against {ends['against']}: {ends['end_point_error']:.2f} pixels, and "
            f"{ends['end_point_error_of_no_flow']:.2f} without flow\n{said}"
        )
    return _told(args, score, said)


def _playback(args: argparse.Namespace) -> int:
    """Learn how clips are played and say how well that is told of others."""
    from expand3d.run.pretrain_playback import RECIPE, PlaybackPretraining, pretrain_playback
    from expand3d.study.config import keys

    family = (
        get_preset(args.preset).genotype.family if args.preset else str(keys()["family"].default)
    )
    wanted = PlaybackPretraining(**_wanted(args, get_family(family), RECIPE))
    watch, score = _carried(partial(pretrain_playback, wanted))
    if score is None:
        return _stopped(args, watch)
    said = (
        f"{score['accuracy']:.1%} of {score['views']} held-out views told apart (chance "
        f"{score['chance']:.0%}); --init ./DIR takes the network and its weights: {args.out}"
    )
    return _told(args, score, said)


def _carried(work: Callable[..., R], *, seen: str = "") -> tuple[PlainWatch, R]:
    """The watch, whose lines follow a pretraining, and what `work` returns of it.

    `seen` stands behind the loss.
    """
    from expand3d.cli.live import PlainWatch, progress_text
    from expand3d.cli.outcome import SignalStop

    class Lines(PlainWatch):
        def training(self, candidate: Any, progress: Any) -> None:
            if self._due():
                self.say(f"loss {progress.loss:.3f}{seen}: {progress_text(progress)}")

    watch = Lines(every=2 if sys.stderr.isatty() else 10)
    with SignalStop(watch) as stop:
        return watch, work(watch=watch, stop=stop)


def _told(args: argparse.Namespace, score: Mapping[str, Any], said: str) -> int:
    """Print the score, in words or as JSON; 0."""
    if args.json:
        print(json.dumps({"out": str(args.out), **score}, indent=2))
    else:
        print(said)
    return 0


def _stopped(args: argparse.Namespace, watch: PlainWatch) -> int:
    """Say how a pretraining that was stopped goes on; 130."""
    watch.note(f"the same command{', without --force,' if args.force else ''} goes on from here")
    return 130


def _draw(
    wanted: MotionPretraining, found: MotionPretrained, watch: PlainWatch
) -> dict[str, float | str]:
    """The end-point errors; the picture is written where there is none. Without OpenCV, nothing."""
    from expand3d.report.flow import draw_flow, end_points

    picture, spec, task = wanted.out / PICTURE, wanted.data.flow_spec(), found.task
    clips = (task.plan, task.store, task.held_out)
    try:
        if wanted.force or not picture.is_file():
            draw_flow(picture, *clips, weights=wanted.out, spec=spec)
        learned, none = end_points(*clips, weights=wanted.out, spec=spec)
    except DataError as missing:
        watch.note(f"no {PICTURE}: {missing}")
        return {}
    return {
        "against": spec.method,
        "end_point_error": learned,
        "end_point_error_of_no_flow": none,
    }


def _recipe(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the recipe that differ."""
    changes = {name: getattr(args, name) for name in ("clip_visits", "batch", "lr")}
    given = {name: value for name, value in changes.items() if value is not None}
    return given if args.batch is None else {**given, "bn_batch": args.batch}


def _sections(args: argparse.Namespace) -> Callable[[Any], dict[str, Any]]:
    """A function from a section to the values that were given for its keys."""
    # `--batch` is the recipe's here, not the key of a study.
    keys = {key: value for key, value in config_values(args).items() if key in KEYS}

    def of(section: Any) -> dict[str, Any]:
        return {
            item.name: keys[item.name] for item in dataclasses.fields(section) if item.name in keys
        }

    return of


def _wanted(args: argparse.Namespace, family: Family, recipe: Recipe) -> dict[str, Any]:
    """The settings that every pretraining has."""
    from expand3d.study.sections import Data, Execution, Training

    of = _sections(args)
    return {
        "data": Data(**of(Data)),
        "execution": Execution(**of(Execution)),
        "seed": Training(**of(Training)).seed,
        "student": _student(family, args),
        "out": args.out,
        "force": args.force,
        "recipe": dataclasses.replace(recipe, **_recipe(args)),
    }


def _student(family: Family, args: argparse.Namespace) -> Genotype:
    start = family.base
    if args.preset:
        start = get_preset(args.preset).genotype
        if start.family != family.name:
            raise ConfigError(f"--preset {args.preset} is of family {start.family}")
    return start.replace(**dict(setting(family, text) for text in args.set))
