"""Train one network in full: a trial of a study, a published network, or one in a file.

The learning rate goes by the recipe, scaled with the batch. After every epoch the validation part
is scored and the best weights are kept; the test part is scored once, in the end. A trial's network
joins its study's record, and `expand3d export` takes it. Ctrl-C stops cleanly, and the same command
goes on, also after a kill.

examples:
  expand3d train quiet-heron --epochs 100                the winner, on the study's data
  expand3d train quiet-heron:7 --batch 32 --ema 0.999
  expand3d train quiet-heron --frontier                  every network of the frontier
  expand3d train x3d-s --data videos/ --init ./x3d-s --out fine-tuned
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import add_config_flags, add_force_flag, recipe_field
from expand3d.cli.parser import number, whole
from expand3d.cli.sections import DATA_KEYS, FLOW_KEYS, given_keys, section_of
from expand3d.core.errors import ConfigError
from expand3d.core.extras import BALANCES, Extras
from expand3d.core.recipe import PROFILES, Recipe, get_profile
from expand3d.core.trial import PARENT, SCRATCH

if TYPE_CHECKING:
    from expand3d.cli.live import PlainWatch
    from expand3d.interop.network import ExportedNetwork
    from expand3d.run.inherit import Parent
    from expand3d.run.subject import Subject
    from expand3d.run.train import Wanted

KEYS = (*DATA_KEYS, *FLOW_KEYS, "flow_data", "seed", "device", "threads", "root", "storage")
#: The recipe of the papers.
PROFILE = "paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d train`."""
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="STUDY for its winner, STUDY:NUMBER, a preset, or ./DIR or a network.json",
    )
    parser.add_argument(
        "--frontier", action="store_true", help="train every network of the study's frontier"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder to write, new or empty; a trial's is in the study's folder if left out",
    )
    add_force_flag(parser)
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="weights to begin with: scratch, ./DIR, a study for its winner's, or parent for those "
        "that a trial of a study with --init parent began with (default: as the study, else "
        "scratch)",
    )
    add_recipe_flags(parser)
    add_config_flags(parser, only=KEYS)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def add_recipe_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say how to train."""
    group = parser.add_argument_group("recipe")
    add = group.add_argument
    add("--profile", choices=tuple(PROFILES), default=PROFILE, help=f"recipe (default: {PROFILE})")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1), metavar="N", help="passes over the clips")
    length.add_argument("--clip-visits", type=whole(1), metavar="N", help="clips seen in all")
    add("--batch", type=whole(1), metavar="N", help="clips of a step; scales the learning rate")
    add(
        "--accumulate",
        type=whole(1),
        metavar="N",
        help="passes that a batch goes through memory in, whose gradients are added",
    )
    add("--lr", type=number(0), metavar="X", help="highest learning rate, not scaled")
    add("--label-smoothing", type=float, metavar="SHARE", help="of the recipe's loss")
    add("--compile", action="store_true", help="train by torch.compile")
    add("--amp", choices=("auto", "on", "off"), help="bfloat16 where it is supported")
    add(
        "--recipe",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of the profile that differs; may be given several times",
    )
    add("--mixup", type=float, default=0.0, metavar="A", help="mix clips by Beta(A, A)")
    add(
        "--rand-augment",
        type=whole(0),
        default=0,
        metavar="N",
        help="put each clip through N random operations of RandAugment",
    )
    add(
        "--rand-magnitude",
        type=float,
        default=9.0,
        metavar="M",
        help="their strength, from 0 to 10 (default: 9)",
    )
    add(
        "--ema",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="keep the average of the weights, of which a step keeps SHARE",
    )
    add(
        "--precise-bn",
        type=whole(0),
        default=0,
        metavar="N",
        help="take BatchNorm's statistics anew from N passes",
    )
    add(
        "--balance",
        choices=BALANCES,
        default="none",
        help="classes of unequal size: weigh the loss, or visit all equally often",
    )
    add("--with-val", action="store_true", help="the validation part trains too; none is best")
    add("--val-every", type=whole(1), default=1, metavar="N", help="epochs between validations")
    add("--keep", choices=("last", "best"), default="last", help="weights that are tested and kept")
    add("--tensorboard", action="store_true", help="write TensorBoard's logs into DIR/tensorboard")


def main(args: argparse.Namespace) -> int:
    """Train and say how well that went; 0, or 130 where it was stopped."""
    from expand3d.cli.live import PlainWatch
    from expand3d.cli.outcome import SignalStop
    from expand3d.run.subject import join_record
    from expand3d.run.train import train_in_full
    from expand3d.training.peers import helps

    subjects = _subjects(args)
    wanted = [(subject, _wanted(args, subject)) for subject in subjects]
    watch = PlainWatch(every=2 if sys.stderr.isatty() else 10)
    if helps():  # one process of torchrun's speaks
        watch.console.quiet = True
    done: list[dict[str, Any]] = []
    with SignalStop(watch) as stop:
        for subject, each in wanted:
            network = train_in_full(each, watch=watch, stop=stop)
            if network is None and helps() and not stop():
                continue
            if network is None:
                watch.note("the same command goes on from here")
                return 130
            why_not = join_record(subject, each, network)
            done.append(_outcome(each, network, why_not))
            if not args.json:
                _say(each, network, why_not, watch)
    if args.json and not helps():
        print(json.dumps(done if args.frontier else done[0], indent=2))
    return 0


def _subjects(args: argparse.Namespace) -> list[Subject]:
    """The networks to train; ConfigError where --frontier is asked of no study."""
    from expand3d.run.subject import find_subject, of_trial
    from expand3d.study.folder import DEFAULT_ROOT

    where = {"root": args.root or DEFAULT_ROOT, "storage": args.storage}
    if not args.frontier:
        return [find_subject(args.network, **where)]
    if args.out is not None:
        raise ConfigError("--frontier trains into the study's folder; leave --out out")
    from expand3d.cli.export import chosen
    from expand3d.report.study.view import load_view
    from expand3d.study.record import Record

    view = load_view(args.network, **where)
    record = Record.open(args.network, **where)
    return [of_trial(record, trial) for trial in chosen(view, number=None, frontier=True)]


def _wanted(args: argparse.Namespace, subject: Subject) -> Wanted:
    from expand3d.run.train import Wanted
    from expand3d.study.sections import Data, Execution, Training

    given = given_keys(args, KEYS)
    study = subject.config
    own = study is not None and not any(key in given for key in (*DATA_KEYS, *FLOW_KEYS))
    if args.with_val and args.keep == "best":
        raise ConfigError("--keep best needs the validation part, which --with-val trains on")
    out = args.out or subject.folder
    if out is None:
        raise ConfigError(f"--out DIR is needed to train {args.network}")
    seed = section_of(Training, given).seed if "seed" in given or study is None else study.seed
    init, parent = _begins(args, subject)
    flip = study.training_recipe().flip if own and study is not None else None
    return Wanted(
        title=subject.title,
        genotype=subject.genotype,
        data=section_of(Data, given, study if own else None),
        execution=section_of(Execution, given),
        out=out,
        recipe=recipe_of(args, flip=flip),
        extras=Extras(
            args.mixup,
            args.balance,
            args.ema,
            args.precise_bn,
            args.rand_augment,
            args.rand_magnitude,
        ),
        seed=seed,
        init=init,
        parent=parent,
        with_val=args.with_val,
        every=args.val_every,
        keep_best=args.keep == "best",
        tensorboard=args.tensorboard,
        compiled=args.compile,
        known=subject.data if own else None,
        force=args.force,
    )


def _begins(args: argparse.Namespace, subject: Subject) -> tuple[str, Parent | None]:
    """The text of `init`, with a trial's parent where it began with that one's weights."""
    from expand3d.run.inherit import parent_of

    study, record, trial = subject.config, subject.record, subject.trial
    if study is None or record is None or trial is None:
        return args.init or SCRATCH, None
    init = args.init or study.init
    if init != PARENT or study.init != PARENT:
        return init, None
    parent = parent_of(record, trial)
    return (SCRATCH, None) if parent is None else (PARENT, parent)


def recipe_of(args: argparse.Namespace, *, flip: bool | None) -> Recipe:
    """The recipe that the flags ask for; the learning rate is scaled with the batch.

    `flip` says whether clips may be mirrored, where the data says so.
    """
    base = PROFILES[args.profile]
    given = dict(recipe_field(text) for text in args.recipe)
    for name in ("epochs", "clip_visits", "batch", "lr", "label_smoothing", "amp"):
        if (value := getattr(args, name)) is not None:
            given[name] = value
    if given.get("epochs") and given.get("clip_visits"):
        raise ConfigError("recipe: epochs and clip_visits exclude each other; give one")
    if given.get("epochs"):
        given["clip_visits"] = None
    elif given.get("clip_visits"):
        given["epochs"] = None
    if flip is not None:
        given.setdefault("flip", flip)
    batch = given.get("batch", base.batch)
    if isinstance(batch, int):
        given.setdefault("lr", base.lr * batch / base.batch)
        passes = args.accumulate
        if passes and batch % passes:
            raise ConfigError(f"--accumulate {passes} must divide the batch of {batch} clips")
        given.setdefault("bn_batch", batch // passes if passes else min(base.bn_batch, batch))
    return get_profile(args.profile, given)


def _outcome(wanted: Wanted, network: ExportedNetwork, why_not: str | None) -> dict[str, Any]:
    return {
        "network": wanted.title,
        "out": str(wanted.out),
        "scores": dict(network.scores),
        "measured_on": network.provenance["measured_on"],
        "kept": network.provenance["kept"],
        "extras": network.provenance["extras"],
        "in_record": why_not is None and wanted.known is not None,
        "not_in_record": why_not,
    }


def _say(wanted: Wanted, network: ExportedNetwork, why_not: str | None, watch: PlainWatch) -> None:
    """Print the scores, and where the network is."""
    for part, score in network.scores.items():
        about = f"{part} part" if "top1_ci" in score else part
        interval = ""
        if "top1_ci" in score:
            low, high = score["top1_ci"]
            interval = f" (95%: {low:.1%} to {high:.1%}), mean class {score['mean_class']:.1%}"
        print(f"{about}: top-1 {score['top1']:.1%}{interval}, log-loss {score['nll']:.3f}")
    print(f"{wanted.title}: the network and its weights: {wanted.out}")
    if why_not is not None:
        watch.note(f"not in the study's record: {why_not}")
