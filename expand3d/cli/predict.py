"""Label videos by a trained network: files, folders, a camera or a pipe.

Files are labelled whole, as a test with 10 views does. With --window or --stride, and from a camera
or a pipe always, windows slide over the video, and neighbours with one label become a span. A
camera is its number (0 is /dev/video0), standard input is -. Live windows are shown with the delay
since their last frame came; those that would make it grow are dropped and counted.

examples:
  expand3d predict quiet-heron clips/ --out labels.csv
  expand3d predict ./fine-tuned long.mp4 --window 2s --stride 0.5s --background nothing \\
      --threshold 0.6 --out spans.csv --out spans.srt --annotate seen.mp4
  expand3d predict ./heron-onnx/model.onnx 0 --window 2s
  ffmpeg -i URL -f mpegts - | expand3d predict quiet-heron -
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import add_config_flags, add_force_flag, add_trained_argument
from expand3d.cli.parser import whole
from expand3d.cli.sections import FLOW_KEYS, given_keys, section_of
from expand3d.core.errors import ConfigError
from expand3d.core.files import refuse_present

if TYPE_CHECKING:
    from expand3d.run.model import Trained
    from expand3d.run.predict import Found, Predictor, Told, Wanted

KEYS = (*FLOW_KEYS, "device", "threads", "root", "storage")
#: Whole videos that are listed on the screen.
LISTED = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d predict`."""
    add_trained_argument(parser)
    parser.add_argument(
        "sources", metavar="PATH", nargs="+", help="videos, folders, a camera's number, a pipe or -"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="file to write: .csv, .json, or .srt for a player; may be given several times",
    )
    parser.add_argument("--window", metavar="TIME", help="length of a window, such as 2s")
    parser.add_argument(
        "--stride", metavar="TIME", help="from one window's start to the next, such as 0.5s"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.0, metavar="SHARE", help="least score of a label"
    )
    parser.add_argument("--background", metavar="CLASS", help="the class that is no label")
    parser.add_argument(
        "--clips", type=whole(1), default=10, metavar="N", help="views of a whole video (10)"
    )
    parser.add_argument(
        "--annotate", metavar="FILE", type=Path, help="write the video with its labels (.mp4)"
    )
    parser.add_argument(
        "--features",
        metavar="FILE",
        type=Path,
        help="write a row of features per window (.parquet)",
    )
    add_config_flags(parser, only=KEYS, defaults=False)
    add_force_flag(parser)
    parser.add_argument("--json", action="store_true", help="print the predictions as JSON")


def main(args: argparse.Namespace) -> int:
    """Predict, write and print; 0, or 130 where it was stopped."""
    from expand3d.cli.live import PlainWatch
    from expand3d.cli.outcome import SignalStop
    from expand3d.core.result import Interrupted
    from expand3d.data.live import is_live
    from expand3d.run.model import load_trained
    from expand3d.run.predict import Predictor
    from expand3d.study.folder import DEFAULT_ROOT

    wanted = _wanted(args)
    live = [source for source in wanted.sources if is_live(source)]
    _refuse(args, wanted, live)
    model = load_trained(args.network, root=args.root or DEFAULT_ROOT, storage=args.storage)
    predictor = Predictor(model.with_flow(given_keys(args, FLOW_KEYS)), wanted)
    watch = PlainWatch(every=2 if sys.stderr.isatty() else 10)
    found: list[Found] = []
    started = time.monotonic()
    stopped = False
    with SignalStop(watch) as stop:
        try:
            for number, source in enumerate(wanted.sources, 1):
                if source in live:
                    found.append(predictor.live(source, stop=stop, tell=_teller(args, model)))
                else:
                    found.append(predictor.file(source, stop=stop))
                watch.count(number, len(wanted.sources), "videos")
                if stop():
                    break
        except Interrupted as interrupted:
            watch.note(str(interrupted))
            stopped = True
    seconds = time.monotonic() - started
    files = _write(args, found, model)
    if args.json:
        from expand3d.report.predicted import as_json

        print(json.dumps(as_json(found, model.classes), indent=2))
    else:
        _say(found, predictor)
    watch.note(_throughput(found, seconds))
    for path in files:
        watch.note(f"written: {path}")
    return 130 if stopped and not live else 0


def _wanted(args: argparse.Namespace) -> Wanted:
    from expand3d.core.units import parse_duration
    from expand3d.run.predict import Wanted, sources_of
    from expand3d.run.prepare.bench import device_for, threads_for
    from expand3d.study.sections import Execution

    execution = section_of(Execution, given_keys(args, KEYS))
    return Wanted(
        sources=sources_of(args.sources),
        clips=args.clips,
        window=parse_duration(args.window) if args.window else None,
        stride=parse_duration(args.stride) if args.stride else None,
        threshold=args.threshold,
        background=args.background,
        features=args.features is not None,
        device=device_for(execution.device),
        threads=threads_for(execution),
    )


def _refuse(args: argparse.Namespace, wanted: Wanted, live: list[str]) -> None:
    """ConfigError where the files that are asked for cannot be written of these sources."""
    from expand3d.report.predicted import KINDS

    for path in args.out:
        if path.suffix not in KINDS:
            raise ConfigError(f"--out {path} must end in {', '.join(KINDS)}")
    if any(path.suffix == ".srt" for path in args.out) and len(wanted.sources) > 1:
        raise ConfigError("an .srt is of one video; give one, or write a .csv")
    if args.annotate is not None and (live or len(wanted.sources) > 1):
        raise ConfigError("--annotate draws on one file; give one")
    if args.annotate is not None and args.annotate.suffix not in (".mp4", ".mkv", ".mov"):
        raise ConfigError(f"--annotate {args.annotate} must end in .mp4, .mkv or .mov")
    if args.features is not None and args.features.suffix != ".parquet":
        raise ConfigError(f"--features {args.features} must end in .parquet")
    for path in (*args.out, args.annotate, args.features):
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.absolute().parent}")
        refuse_present(path, force=args.force)


def _teller(args: argparse.Namespace, model: Trained) -> Any:
    """A function that shows a live window; on stderr where stdout is for JSON."""
    out = sys.stderr if args.json else sys.stdout

    def tell(told: Told) -> None:
        window = told.window
        label = int(window.probabilities.argmax())
        dropped = f", {told.dropped} dropped" if told.dropped else ""
        print(
            f"{window.end:8.2f} s  {model.classes[label]} {window.probabilities[label]:.0%}  "
            f"(delay {told.delay * 1000:.0f} ms{dropped})",
            file=out,
            flush=True,
        )

    return tell


def _write(args: argparse.Namespace, found: list[Found], model: Trained) -> list[Path]:
    """The files that were asked for."""
    from expand3d.report.predicted import annotate, write_features, write_predictions

    if not found:
        return []
    files = [write_predictions(found, model.classes, path) for path in args.out]
    if args.features is not None:
        files.append(write_features(found, model.classes, args.features))
    if args.annotate is not None:
        files.append(annotate(found[0], model.classes, args.annotate))
    return files


def _say(found: list[Found], predictor: Predictor) -> None:
    """Print the spans, or the label of each whole video."""
    names = predictor.model.classes
    many = len(found) > 1
    shown = found[:LISTED]
    for each in shown:
        if many and predictor.wanted.slides:
            print(each.source)
        for span in each.spans:
            what = f"{names[span.label]}  {span.score:.0%}"
            when = f"{span.start:8.2f} to {span.end:8.2f} s"
            print(f"{when}  {what}" if predictor.wanted.slides else f"{each.source}: {what}")
        if not each.spans:
            print(f"{each.source}: nothing")
    if len(found) > len(shown):
        print(f"and {len(found) - len(shown)} more videos")


def _throughput(found: list[Found], seconds: float) -> str:
    """The length of what was looked at, and the speed."""
    windows = sum(len(each.windows) for each in found)
    length = sum(each.seconds for each in found)
    rate = length / max(seconds, 1e-9)
    videos = "1 video" if len(found) == 1 else f"{len(found)} videos"
    noun = "window" if windows == 1 else "windows"
    return (
        f"{videos} of {length:.1f} s, {windows} {noun} in {seconds:.1f} s: "
        f"{windows / max(seconds, 1e-9):.1f} windows/s, {rate:.1f} times real time"
    )
