"""Evaluate a trained network on labelled videos, by the multi-view tests of the papers.

A view is one clip in time and one crop in space; a video's probabilities are the mean over its
views. Codebases disagree about frames and crops, so --views says by whose rule. Clips that trained
the network are refused. Optical flow is made as in its training.

--streams tests each stream of a study's network, such as a two-stream network's, alone and beside
all of them. --part folds scores every clip by the network that was trained without it (of
`baselines --keep-weights`); --segments 25 is TSN's test.

examples:
  expand3d eval quiet-heron                              the test part, 10 views
  expand3d eval quiet-heron:7 --crops 3 --calibrate --out heron-7-eval
  expand3d eval ./fine-tuned --data list.csv --part all --clips 1
  expand3d eval ./heron-onnx/model.onnx --data videos/
  expand3d eval quiet-heron:12 --part folds --svm
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import add_config_flags, add_force_flag, add_trained_argument
from expand3d.cli.parser import whole
from expand3d.cli.sections import DATA_KEYS, FLOW_KEYS, given_keys, section_of
from expand3d.core.errors import ConfigError

if TYPE_CHECKING:
    from expand3d.run.evaluate import Evaluated, Wanted
    from expand3d.run.model import Trained

KEYS = (*DATA_KEYS, *FLOW_KEYS, "seed", "device", "threads", "root", "storage")
VIEWS = ("pyslowfast", "mmaction2", "training")
#: The part of all clips, each scored by the network that was trained without it.
FOLDS = "folds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d eval`."""
    add_trained_argument(parser)
    parser.add_argument(
        "--part",
        choices=("train", "val", "test", "all", FOLDS),
        help="clips to score (default: test of the data that it was trained on, all of others)",
    )
    parser.add_argument(
        "--clips", type=whole(1), default=10, metavar="N", help="clips of a video (default: 10)"
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=(1, 3),
        default=1,
        help="crops of a clip: the centre, or three along the long side (default: 1)",
    )
    parser.add_argument(
        "--crop",
        type=whole(1),
        metavar="PIXELS",
        help="side of a crop (default: the training crop, of three 128/112 of it)",
    )
    parser.add_argument(
        "--views",
        choices=VIEWS,
        help="whose rule of frames and crops; training: as trainings are tested, the only one for "
        "networks that read optical flow, stacks or segments (default: pyslowfast, else training)",
    )
    parser.add_argument(
        "--streams",
        action="store_true",
        help="score each stream of a study's network alone too, and the lead of all over it; "
        "so do the next two, and --part folds",
    )
    parser.add_argument(
        "--segments",
        type=whole(1),
        metavar="N",
        help="parts of a clip that a network of segments looks at (default: as it was trained)",
    )
    parser.add_argument(
        "--svm",
        action="store_true",
        help="fuse the streams by a linear SVM fitted on the training clips, too",
    )
    parser.add_argument(
        "--calibrate", action="store_true", help="fit a temperature on the validation part"
    )
    parser.add_argument(
        "--allow-seen", action="store_true", help="score clips that trained the network, too"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for tables and pictures, new or empty"
    )
    add_force_flag(parser)
    add_config_flags(parser, only=KEYS, defaults=False)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _lines() -> Any:
    """A watch that says how far the evaluation is."""
    from expand3d.cli.live import PlainWatch

    class Lines(PlainWatch):
        def scored(self, done: int, total: int, accuracy: float) -> None:
            if self._due() or done == total:
                self.say(f"{done} of {total} clips, top-1 {accuracy:.1%} so far", style="dim")

    return Lines(every=2 if sys.stderr.isatty() else 10)


def main(args: argparse.Namespace) -> int:
    """Evaluate and print the scores; 0, or 130 where it was stopped."""
    from expand3d.cli.evaluate_streams import streams_main
    from expand3d.cli.outcome import SignalStop
    from expand3d.cli.words import duration
    from expand3d.core.files import refuse_occupied
    from expand3d.core.result import Interrupted
    from expand3d.run.evaluate import evaluate
    from expand3d.run.model import load_trained
    from expand3d.study.folder import DEFAULT_ROOT

    if args.out is not None:
        refuse_occupied(args.out, force=args.force)
    root = args.root or DEFAULT_ROOT
    if args.streams or args.segments or args.svm or args.part == FOLDS:
        return streams_main(args, keys=KEYS, watch=_lines())
    model = load_trained(args.network, root=root, storage=args.storage)
    model = model.with_flow(given_keys(args, FLOW_KEYS))
    wanted = _wanted(args, model)
    watch = _lines()
    with SignalStop(watch) as stop:
        try:
            found = evaluate(model, wanted, watch=watch, stop=stop, tell=watch.scored)
        except Interrupted as stopped:
            watch.note(str(stopped))
            return 130
    if not model.clips:
        watch.note("nobody knows which clips trained this network: its scores may be too good")
    files = _write(found, args.out) if args.out is not None else []
    if args.json:
        print(json.dumps({**found.to_json(), "files": [str(path) for path in files]}, indent=2))
        return 0
    _say(found)
    print(f"{len(found.scores)} clips in {duration(found.seconds)}")
    if files:
        print(f"{args.out}: {', '.join(path.name for path in files)}")
    return 0


def _wanted(args: argparse.Namespace, model: Trained) -> Wanted:
    """The evaluation; data and parts are those that trained the network where none are given."""
    from expand3d.run.evaluate import Wanted
    from expand3d.study.record import DATA
    from expand3d.study.sections import Data, Execution, Training

    given = given_keys(args, set(KEYS) - set(FLOW_KEYS))
    own = not any(key in given for key in DATA_KEYS)
    study = model.record.config() if model.record is not None and own else None
    trained_on = model.provenance.get("data", {}).get("source") if own else None
    if own and study is None:
        if trained_on is None:
            raise ConfigError("--data is needed: the network does not say what it was trained on")
        given["data"] = trained_on
    seed = model.provenance.get("seed", 0) if study is None else study.seed
    return Wanted(
        data=section_of(Data, given, study),
        execution=section_of(Execution, given),
        part=args.part or ("test" if own else "all"),
        views=args.views,
        clips=args.clips,
        crops=args.crops,
        crop=args.crop,
        calibrate=args.calibrate,
        seed=section_of(Training, given).seed if "seed" in given else seed,
        known=None if study is None or model.record is None else model.record.attribute(DATA),
        allow_seen=args.allow_seen,
    )


def _write(found: Evaluated, out: Path) -> list[Path]:
    """The files of tables and pictures."""
    from expand3d.core.files import make_folder, write_whole
    from expand3d.report.evaluated.pictures import write_pictures
    from expand3d.report.evaluated.tables import classes_csv, clips_csv

    make_folder(out)
    names = found.model.classes
    text = json.dumps(found.to_json(), indent=2) + "\n"
    return [
        write_whole(out / "evaluation.json", text),
        write_whole(out / "clips.csv", clips_csv(found.scores, names, found.probabilities)),
        write_whole(out / "classes.csv", classes_csv(found.scores, names)),
        *write_pictures(
            found.scores, found.videos, names, out, lines=(found.model.title, _protocol(found))
        ),
    ]


def _protocol(found: Evaluated) -> str:
    test = found.protocol
    clips = f"{test.clips} clip" + ("s" if test.clips > 1 else "")
    crops = f"{test.crops} crop" + ("s" if test.crops > 1 else "")
    return (
        f"{clips} x {crops} of {test.crop} pixels by {test.rule}'s rule, "
        f"{found.wanted.part}: {len(found.scores)} clips"
    )


def _say(found: Evaluated) -> None:
    """Print the scores and the table of the classes."""
    from rich.console import Console
    from rich.table import Table

    from expand3d.report.evaluated.tables import class_rows

    data = found.to_json()
    print(f"{found.model.title}: {_protocol(found)}")
    for key, name in (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean class accuracy")):
        if data[key] is not None:
            low, high = data[f"{key}_interval"]
            print(f"  {name:<20} {data[key]:6.1%}  (95%: {low:.1%} to {high:.1%})")
    print(f"  {'chance':<20} {data['chance']:6.1%}  (always the largest class)")
    print(f"  {'log-loss':<20} {data['nll']:6.3f}")
    after = ""
    if data["temperature"] is not None:
        after = (
            f"  ({data['ece_after']:.1%}, and log-loss {data['nll_after']:.3f}, at temperature "
            f"{data['temperature']:.2f}, fitted on {data['fitted_on']} validation clips)"
        )
    print(f"  {'calibration error':<20} {data['ece']:6.1%}{after}")
    if found.seen:
        print(f"  {found.seen} of these clips trained the network: the scores are too good")
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("class", "clips", "accuracy", "95%", "taken for"):
        table.add_column(column, justify="left" if column in ("class", "taken for") else "right")
    for row in class_rows(found.scores, found.model.classes):
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
        cells = [row["class"], row["clips"], f"{row['accuracy']:.1%}", interval, row["taken for"]]
        table.add_row(*map(str, cells))
    Console(highlight=False, markup=False).print(table)
