"""A network of a study for another codebase, with its weights where they were kept.

Weights are kept of the winner's last training and of those by `expand3d train`; every other trial
exports its architecture alone.
Of a frontier, networks that the target cannot express are named and left out. What was written is
loaded by the target's own code, where that is installed, and compared with the network's logits.

examples:
  expand3d export quiet-heron --to pytorchvideo --out heron-ptv
  expand3d export quiet-heron --to json --trial 7 --out heron-7
  expand3d export quiet-heron --to json --frontier --out heron-frontier
  expand3d export quiet-heron --to onnx --pixels --out heron-onnx
  expand3d export quiet-heron --to onnx --int8 --threads 1 --out heron-onnx
  expand3d export --preset x3d-s --to pyslowfast --out x3d-s
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import add_force_flag, add_record_flags
from expand3d.cli.parser import whole
from expand3d.core.errors import ConfigError, ExportError
from expand3d.core.plugins import FORMATS

if TYPE_CHECKING:
    from expand3d.core.trial import Trial
    from expand3d.interop.network import ExportedNetwork
    from expand3d.report.study.view import StudyView


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d export`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the study")
    targets = "; ".join(f"{name}: {row.help}" for name, row in FORMATS.items())
    parser.add_argument("--to", required=True, choices=FORMATS, help=targets)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write, new or empty")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--best", action="store_true", help="the winner (default)")
    which.add_argument("--trial", type=whole(0), metavar="N", help="the network of trial N")
    which.add_argument("--preset", metavar="NAME", help="a published network, without weights")
    which.add_argument("--frontier", action="store_true", help="a folder per frontier network")
    parser.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compare what was written, by the target's own code (default: where it is installed)",
    )
    parser.add_argument(
        "--repo", metavar="PATH", type=Path, help="the checkout that verifies it (pyslowfast)"
    )
    parser.add_argument(
        "--opset", type=whole(), metavar="N", help="version of the operators (onnx: 20)"
    )
    parser.add_argument(
        "--pixels",
        action="store_true",
        default=None,
        help="read decoded bytes, and normalise them inside (onnx, openvino, torch-export)",
    )
    parser.add_argument(
        "--nearest",
        action="store_true",
        help="where the target cannot build it, write the nearest network that it can, untrained",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="beside it the network in 8 bits (onnx): calibrated on the study's training clips; "
        "accuracy on its validation clips and latency, before and after",
    )
    parser.add_argument(
        "--threads", type=whole(1), metavar="N", help="CPU threads of --int8 (all cores)"
    )
    add_force_flag(parser)
    add_record_flags(parser)


def main(args: argparse.Namespace) -> int:
    """Write the export and print what was written, and of a frontier what was not; 0."""
    from expand3d.core.files import refuse_unwritable
    from expand3d.interop.formats import export, refuse_occupied
    from expand3d.interop.nearest import differences, fitted
    from expand3d.interop.verify import can_verify, refuse_unverifiable, verify

    _refuse_int8(args)
    out = Path(args.out)
    refuse_occupied(out, force=args.force)
    refuse_unwritable(out)
    networks = asked_for(args)
    folders = [out / f"trial-{n.trial:03d}" if args.frontier else out for n in networks]
    for folder in folders:  # before anything is written
        refuse_occupied(folder, force=args.force)
    options = {name: getattr(args, name) for name in ("opset", "pixels")}
    options = {name: value for name, value in options.items() if value is not None}
    wanted = True if args.repo else args.verify
    if wanted:
        refuse_unverifiable(args.to, args.repo)
    check = can_verify(FORMATS.row(args.to)) if wanted is None else wanted
    written = 0
    for asked, folder in zip(networks, folders, strict=True):
        try:
            network = fitted(asked, args.to, nearest=args.nearest)
            files = export(
                network,
                target=args.to,
                out=folder,
                force=args.force,
                nearest=args.nearest,
                options=options,
            )
        except ExportError as error:
            if not args.frontier:
                raise
            print(f"{asked.title} is left out: {error}", file=sys.stderr)
            continue
        written += 1
        kept = "with weights" if network.weights else "architecture only: no weights were kept"
        if network.genotype != asked.genotype:
            changed = differences(asked.genotype, network.genotype)
            kept = f"untrained, the nearest that can be built: {changed}"
        print(f"{network.title} ({kept}): {folder}: {', '.join(path.name for path in files)}")
        for found in (
            verify(network, target=args.to, folder=folder, repo=args.repo) if check else ()
        ):
            print(f"  {found}")
        if args.int8:
            _quantise(network, folder, args)
    if not written:
        raise ExportError(f"--to {args.to} can express no network of the frontier; try --to json")
    return 0


def _refuse_int8(args: argparse.Namespace) -> None:
    """Raise where --int8 is asked of what has no clips or no 8 bits, before anything is written."""
    from expand3d.interop.verify import absent

    if args.threads and not args.int8:
        raise ConfigError("--threads are those of --int8; add it")
    if not args.int8:
        return
    row = FORMATS.row(args.to)
    if not row.quantises:
        able = ", ".join(name for name, each in FORMATS.items() if each.quantises)
        raise ExportError(f"--to {args.to} has no --int8; it is for {able}")
    if args.preset is not None:
        raise ExportError("--int8 is calibrated on a study's clips, and a preset has none")
    if missing := absent(row.verified_by):
        raise ExportError(f"--int8 needs {', '.join(missing)}: pip install 'expand3d[{args.to}]'")


def _quantise(network: ExportedNetwork, folder: Path, args: argparse.Namespace) -> None:
    from expand3d.run.events import Watch
    from expand3d.run.int8 import quantise_study

    found = quantise_study(
        network,
        folder,
        name=args.name,
        root=args.root,
        storage=args.storage,
        threads=args.threads,
        watch=Watch(),
    )
    for line in found.lines:
        print(f"  {line}")


def asked_for(args: argparse.Namespace) -> list[ExportedNetwork]:
    """The preset, or the networks of the study; ConfigError where there are both or neither."""
    if (args.name is None) == (args.preset is None):
        raise ConfigError("export takes the NAME of a study, or --preset without one")
    if args.preset is not None:
        return [of_preset(args.preset)]
    from expand3d.report.study.view import load_view

    view = load_view(args.name, root=args.root, storage=args.storage)
    trials = chosen(view, number=args.trial, frontier=args.frontier)
    return [as_exported(view, trial) for trial in trials]


def of_preset(name: str) -> ExportedNetwork:
    """A published network as it is exported: its integers alone."""
    from expand3d.interop.network import ExportedNetwork
    from expand3d.networks import get_family, get_preset

    preset = get_preset(name)
    family = get_family(preset.genotype.family)
    plan = family.resolve(preset.genotype, num_classes=preset.num_classes)
    published = {"made_by": f"preset {name}"}
    return ExportedNetwork(name, 0, preset.genotype, plan, {}, provenance=published)


def chosen(view: StudyView, *, number: int | None, frontier: bool) -> tuple[Trial, ...]:
    """The trial of that number, the frontier's, or the winner; ExportError where there is none."""
    if frontier:
        found = view.frontier
        missing = "no scored network yet"
    elif number is not None:
        found = tuple(trial for trial in view.trials if trial.number == number)
        there = f"0 to {view.trials[-1].number}" if view.trials else "none yet"
        missing = f"no trial {number}; it has {there}"
    else:
        found = (view.best,) if view.best else ()
        missing = "no network within its budget yet"
    if not found:
        raise ExportError(f"study {view.name!r} has {missing}")
    return found


def as_exported(view: StudyView, trial: Trial) -> ExportedNetwork:
    """A trial as it is exported: with the weights of `train`, or of the winner's last training."""
    from expand3d.interop.network import TRAINING_CLIPS, ExportedNetwork
    from expand3d.run.reading import flow_facts

    measured = {"choosing": view.scores.get(trial.number)}
    provenance = dict(trial.provenance)
    if view.config is not None:
        provenance |= flow_facts(trial.candidate.plan, view.config.computed_flow())
    extra: dict[str, Any] = {"provenance": provenance}
    final = view.last_training(trial.number)
    if final is not None:
        measured["final"] = final.score
        provenance[TRAINING_CLIPS] = list(final.clips)
        extra |= {"recipe": final.recipe.to_json(), "weights": final.weights}
    scores = {name: asdict(score) for name, score in measured.items() if score is not None}
    return ExportedNetwork.of_trial(
        trial,
        study=view.name,
        classes=view.classes,
        target_fps=view.fps,
        scores=scores,
        **extra,
    )
