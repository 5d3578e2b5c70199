"""Multiply-adds, parameters and activations of networks, by arithmetic; nothing is built.

A network is a preset, a family's base with some factors set, or a row of a CSV file. Every number
is printed with its convention, because that is where published "FLOPs" disagree.

examples:
  expand3d cost --preset x3d-s
  expand3d cost --preset x3d-s --set gamma_w=1.5 --set frames=16 --stages
  expand3d cost --family x3d --set gamma_t=4 --set gamma_tau=12 --json
  expand3d cost --from networks.csv --csv > costs.csv
  expand3d cost --preset x3d-xs --measure        what fvcore counts on the built network
  expand3d cost --preset x3d-xs --latency --device cpu --threads 1 --json
  expand3d cost --preset x3d-xs --latency all --threads 1     a row for each runtime

--from reads a header and a network per row. Columns: the factors (gamma_...), or frames, stride
(also frame_stride) and crop; of x3d also width_factor (units of 12 channels, as PySlowFast and
pytorchvideo count: 2 is gamma_w 1), depth_factor, bottleneck_factor; and num_classes. --set takes
the same names. What is not given comes from --preset, or from the family's base. Other columns are
ignored, and named.

keys of --json and --csv (a view is one clip at one crop):
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.cli.flags import setting
from expand3d.cli.parser import whole
from expand3d.cli.tables import print_table
from expand3d.core.budget import OWN
from expand3d.core.errors import ConfigError
from expand3d.core.measured import Latency
from expand3d.core.plugins import FAMILIES, RUNTIMES
from expand3d.cost.csv_table import CLASSES, Network, Networks, read_networks
from expand3d.cost.figures import CONVENTIONS, figures, short, wide_crop
from expand3d.networks import get_family, get_preset

if TYPE_CHECKING:
    from expand3d.measure.fvcore import Measured

__doc__ = (__doc__ or "") + "\n".join(f"  {key:<26} {text}" for key, text in CONVENTIONS.items())

#: Every runtime, in place of one.
ALL = "all"
#: What a CSV keeps of each runtime's latency.
TIMES = ("median", "low", "high", "runs", "threads", "setting")
#: More rows than this are not read in a terminal: --csv and --json write all of them.
TABLE_ROWS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `expand3d cost`."""
    parser.add_argument("--preset", metavar="NAME", help="start from a published network")
    parser.add_argument("--family", metavar="NAME", help="start from a family's base network")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change one factor; may be given several times",
    )
    parser.add_argument(
        "--from", metavar="FILE.csv", type=Path, dest="source", help="a network per row"
    )
    parser.add_argument(
        "--num-classes", metavar="N", type=whole(), help="classes of the last layer (default: 400)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="an object; with --from a list of them")
    form.add_argument("--csv", action="store_true", help="a header and a line per network")
    parser.add_argument("--stages", action="store_true", help="add a table per stage")
    parser.add_argument("--operators", action="store_true", help="add a table per layer")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="build the network and add what fvcore counts, naming what it does not",
    )
    parser.add_argument(
        "--latency",
        nargs="?",
        const=OWN,
        choices=(*RUNTIMES, ALL),
        help="build the network and add how long one clip takes: batch 1, eval mode, warmed up; in "
        f"a runtime ({', '.join(RUNTIMES)}, default {OWN}), or in {ALL} of them",
    )
    parser.add_argument(
        "--device", metavar="NAME", help="where torch measures: cpu (default), cuda or cuda:N"
    )
    parser.add_argument(
        "--threads",
        metavar="N",
        type=whole(1),
        help="CPU threads of --latency (default: all cores)",
    )


def main(args: argparse.Namespace) -> int:
    """Print the cost of the networks that `args` names; 0."""
    networks = _networks(args)
    if not args.latency and (args.device or args.threads):
        raise ConfigError("--device and --threads say where --latency is measured; add --latency")
    if args.device and args.latency not in (OWN, ALL):
        raise ConfigError(f"--device is torch's: {args.latency} runs on the CPU")
    if (args.stages or args.operators) and (args.csv or args.source):
        raise ConfigError(
            "--stages and --operators describe one network, in a table or with --json"
        )
    if networks.ignored:
        print(f"{args.source}: ignored columns: {', '.join(networks.ignored)}", file=sys.stderr)
    if args.json and args.source:
        rows = (json.dumps(_record(network, args)) for network in networks.rows)
        print("[", ",\n".join(rows), "]", sep="\n")
    elif args.json:
        record = {**_record(networks.rows[0], args), "conventions": dict(CONVENTIONS)}
        print(json.dumps(record, indent=2))
    elif args.csv:
        _write_csv(_record(network, args) for network in networks.rows)
    elif args.source:
        _print_networks(networks, args)
    else:
        _print_network(networks.rows[0], args)
    return 0


def _networks(args: argparse.Namespace) -> Networks:
    """The networks to cost: the rows of --from, or the one that --preset or --family names."""
    preset = get_preset(args.preset) if args.preset else None
    if not (preset or args.family or args.source or args.set):
        raise ConfigError("which network? for example: expand3d cost --preset x3d-s")
    family = get_family(args.family or (preset.genotype.family if preset else next(iter(FAMILIES))))
    if preset and preset.genotype.family != family.name:
        raise ConfigError(
            f"--family {family.name} does not hold --preset {preset.name}, "
            f"which is of family {preset.genotype.family}"
        )
    genotype = preset.genotype if preset else family.base
    genotype = genotype.replace(**dict(setting(family, text) for text in args.set))
    default = preset.num_classes if preset else 400
    num_classes = default if args.num_classes is None else args.num_classes
    plan = family.resolve(genotype, num_classes=num_classes)
    if args.source:
        return read_networks(args.source, genotype, num_classes=num_classes)
    return Networks((Network(genotype, plan),), ())


def _record(network: Network, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one network that --json writes."""
    plan = network.plan
    record: dict[str, Any] = {
        **figures(plan),
        "test_crop": wide_crop(plan),
        "plan": plan.to_json(),
        "genotype": network.genotype.to_json(),
    }
    if args.stages or args.operators:
        cost = get_family(plan.family).cost(plan)
        if args.stages:
            record["stages"] = cost.by_stage()
        if args.operators:
            record["operators"] = [operator._asdict() for operator in cost.operators]
    if args.measure:
        record["measured"] = _measure(network).to_json()
    if args.latency == ALL:
        record["latencies"] = {
            name: latency.to_json() if isinstance(latency, Latency) else None
            for name, latency in _latencies(network, args)
        }
    elif args.latency:
        record["latency"] = _latency(network, args, args.latency).to_json()
    return record


def _latency(network: Network, args: argparse.Namespace, runtime: str) -> Latency:
    from expand3d.measure.latency import measure_latency

    device = (args.device or "cpu") if runtime == OWN else runtime
    return measure_latency(network.plan, device=device, threads=args.threads)


def _latencies(
    network: Network, args: argparse.Namespace
) -> Iterator[tuple[str, Latency | ConfigError]]:
    """Each runtime's latency, or why there is none."""
    from expand3d.measure.runtimes import refuse_absent

    for name in RUNTIMES if args.latency == ALL else (args.latency,):
        try:
            refuse_absent(name)
        except ConfigError as error:
            if args.latency != ALL:
                raise
            yield name, error
        else:
            yield name, _latency(network, args, name)


def _measure(network: Network) -> Measured:
    from expand3d.measure.fvcore import measure

    return measure(network.plan)


def _write_csv(records: Iterable[Mapping[str, Any]]) -> None:
    """The factors first, so that --from reads the file again; the plan as JSON in one column."""
    writer = None
    for record in records:
        row = {
            **record["genotype"]["factors"],
            CLASSES: record["plan"][CLASSES],
            **{key: record[key] for key in (*CONVENTIONS, "test_crop")},
            "plan": json.dumps(record["plan"]),
        }
        if "measured" in record:
            row["fvcore_measured"] = record["measured"]["total"]
            row["fvcore_uncounted"] = json.dumps(record["measured"]["uncounted"])
        row |= {f"latency_{key}": value for key, value in record.get("latency", {}).items()}
        for name, latency in record.get("latencies", {}).items():
            row |= {f"latency_{name}_{key}": (latency or {}).get(key) for key in TIMES}
        if writer is None:
            writer = csv.DictWriter(sys.stdout, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _print_network(network: Network, args: argparse.Namespace) -> None:
    """Tables of one network."""
    # Measured first: a device that is not there is refused before anything is printed.
    latencies = tuple(_latencies(network, args)) if args.latency else ()
    plan = network.plan
    factors = ", ".join(f"{name} {value:.4g}" for name, value in network.genotype.factors.items())
    print(f"{plan.family}: {factors}\nplan: {json.dumps(plan.to_json())}")
    rows = [
        (key, f"{value:,}", short(value), CONVENTIONS[key])
        for key, value in figures(plan).items()
        if value is not None
    ]
    crops = f"train crop {plan.crop}, test crop {wide_crop(plan)}"
    print_table(
        f"{plan.frames} frames x stride {plan.stride}, {crops}, {plan.num_classes} classes",
        ("key", "exactly", "short", "convention"),
        rows,
        numbers=("exactly", "short"),
    )
    cost = get_family(plan.family).cost(plan)
    if args.stages:
        _print_stages(cost.by_stage())
    if args.operators:
        print_table(
            "per layer (1 clip, train crop; flops as fvcore counts, eval mode)",
            ("layer", "stage", "kind", "flops", "params", "outputs"),
            [(*op[:3], *(f"{number:,}" for number in op[3:])) for op in cost.operators],
            numbers=("flops", "params", "outputs"),
        )
    if args.measure:
        _print_measured(_measure(network), cost.fvcore_flops)
    if args.latency == ALL:
        _print_latencies(latencies)
        return
    for _, latency in latencies:
        assert isinstance(latency, Latency)
        print(
            f"latency: {latency.text}, median and quartiles of {latency.runs} passes of one clip; "
            f"{latency.hardware} ({latency.device}, {latency.threads} threads, {latency.setting})"
        )


def _print_latencies(latencies: Iterable[tuple[str, Latency | ConfigError]]) -> None:
    """A row for each runtime."""
    rows = [
        (name, latency.text, str(latency.runs), f"{latency.threads} threads, {latency.setting}")
        if isinstance(latency, Latency)
        else (name, "-", "-", str(latency))
        for name, latency in latencies
    ]
    hardware = {each.hardware for _, each in latencies if isinstance(each, Latency)}
    print_table(
        f"latency of one clip, median and quartiles ({', '.join(sorted(hardware))})",
        ("runtime", "latency", "passes", "setting"),
        rows,
        numbers=("passes",),
    )


def _print_stages(stages: Mapping[str, Mapping[str, int]]) -> None:
    keys = list(next(iter(stages.values())))
    print_table(
        "per stage (1 clip, train crop)",
        ("stage", *keys),
        [(stage, *(f"{totals[key]:,}" for key in keys)) for stage, totals in stages.items()],
        numbers=keys,
    )


def _print_measured(measured: Measured, expected: int) -> None:
    rows = [(kind, f"{count:,}") for kind, count in measured.by_operator.items()]
    uncounted = ", ".join(f"{name} x{times}" for name, times in measured.uncounted.items())
    verdict = "equal to" if measured.total == expected else f"arithmetic says {expected:,}, not"
    print_table(
        f"fvcore on the built network, eval mode ({verdict} the arithmetic fvcore_flops)",
        ("operator", "flops"),
        [*rows, ("total", f"{measured.total:,}")],
        numbers=("flops",),
        caption=f"not counted by fvcore: {uncounted or 'nothing'}",
    )


def _print_networks(networks: Networks, args: argparse.Namespace) -> None:
    """A line per network, the most important figures; conventions below."""
    keys = ("macs", "macs_10_view", "macs_30_view", "fvcore_flops", "params", "activations")
    names = {None: (), ALL: tuple(RUNTIMES)}.get(args.latency, (args.latency,))
    times = tuple(f"latency {name}" if args.latency == ALL else "latency" for name in names)
    measured = (*(("fvcore_measured",) if args.measure else ()), *times)
    rows = []
    for number, network in enumerate(networks.rows[:TABLE_ROWS], start=1):
        plan, totals = network.plan, figures(network.plan)
        clip = f"{plan.frames} x {plan.stride}, {plan.crop}"
        row = [str(number), clip, str(plan.num_classes)]
        row += [short(totals[key] or 0) for key in keys]
        if args.measure:
            row.append(f"{_measure(network).total:,}")
        if args.latency:
            found = (latency for _, latency in _latencies(network, args))
            row += [each.text if isinstance(each, Latency) else "-" for each in found]
        rows.append(row)
    print_table(
        f"{len(networks.rows)} networks",
        ("#", "frames x stride, crop", "classes", *keys, *measured),
        rows,
        numbers=("#", "classes", *keys, *measured),
        caption="\n".join(f"{key}: {CONVENTIONS[key]}" for key in keys),
    )
    if len(networks.rows) > TABLE_ROWS:
        print(f"The first {TABLE_ROWS} are shown; --csv and --json write all of them.")
