"""The columns of a table's two files, each with its type and a line of help."""

from __future__ import annotations

from collections.abc import Mapping

#: The files of a table in its folder; the last but one only where it was asked for.
SCORES, CLIPS, DICTIONARY = "scores.parquet", "clips.parquet", "dictionary.md"
UNTRAINED = "untrained.parquet"
#: The key of a file's metadata under which stands, as JSON, what holds for the whole table.
ABOUT = b"expand3d"
#: The version of this layout.
FORMAT = 1

#: A row for each test of a training: name -> (type, what it holds).
OF_SCORES: Mapping[str, tuple[str, str]] = {
    "network": ("string", "16 hex digits that name the network's integers"),
    "genotype": ("string", "family and factors, as JSON"),
    "plan": ("string", "the network's integers, as JSON"),
    "role": ("string", "base; expand: a step of the expansion offers it; draw: a random one"),
    "step": ("int32", "the first step of the expansion that offers it; null for a random network"),
    "axis": ("string", "the factor that this step changes"),
    "macs": ("int64", "multiply-adds of conv and linear layers, one view at the training crop"),
    "params": ("int64", "learned numbers"),
    "activations": ("int64", "elements that convolutions write, one view"),
    "frames": ("int32", "frames of a clip"),
    "stride": ("int32", "frames from one to the next, at the target frame rate"),
    "crop": ("int32", "side of the training crop in pixels"),
    "fold": ("int32", "the fold that is held out; 0 where there is one split"),
    "repeat": ("int32", "the seed of the training; equal numbers are equal seeds of all networks"),
    "visits": ("int32", "clip visits after which this test was asked for: the rung"),
    "clip_visits": ("int32", "clip visits of the weights that were tested, in whole batches"),
    "status": ("string", "ok, diverged, out of memory, timeout or error"),
    "training_macs": (
        "int64",
        "multiply-adds of the training so far, 3 x macs a visit, earlier cool-downs included",
    ),
    "seconds": ("float64", "seconds of the training so far, beside other work of the machine"),
    "val_nll": ("list<float32>", "log-loss in nats of each validation clip, in the order of clips"),
    "val_class": ("list<int16>", "class that came first, of each validation clip"),
    "test_nll": ("list<float32>", "log-loss in nats of each test clip, in the order of clips"),
    "test_class": ("list<int16>", "class that came first, of each test clip"),
}
#: A row for each clip that is tested.
OF_CLIPS: Mapping[str, tuple[str, str]] = {
    "part": ("string", "val or test"),
    "key": ("string", "the clip's name"),
    "label": ("int16", "number of its true class"),
    "class": ("string", "name of its true class"),
    "group": ("string", "clips of one group stand or fall together"),
}


#: A row for each network, with what it scores before any training; more is better.
OF_UNTRAINED: Mapping[str, tuple[str, str]] = {
    "network": ("string", "16 hex digits that name the network's integers"),
    "entropy": ("float64", "spatio-temporal entropy of its layers (E3D, arXiv 2303.02693)"),
    "synflow": (
        "float64",
        "log of the sum of |weight x gradient| of absolute weights (2006.05467)",
    ),
    "naswot": ("float64", "log-determinant of how alike clips switch units (2006.04647)"),
    "grad_norm": ("float64", "norm of the gradient of the first batch (2101.08134)"),
    "zico": ("float64", "mean over deviation of gradients between two batches (2301.11300)"),
}


def dictionary(*, untrained: bool = False) -> str:
    """The data dictionary as Markdown, of the file of untrained scores too where it is there."""
    parts = []
    files = [(SCORES, OF_SCORES), (CLIPS, OF_CLIPS), (UNTRAINED, OF_UNTRAINED)]
    for file, columns in files if untrained else files[:2]:
        rows = (f"| `{name}` | {kind} | {help} |" for name, (kind, help) in columns.items())
        parts.append(
            "\n".join([f"## {file}", "", "| column | type | holds |", "|---|---|---|", *rows])
        )
    about = (
        f"The metadata of `{SCORES}` has under the key `{ABOUT.decode()}`, as JSON, what holds for "
        "the whole table: budget, limits, recipe, rungs, classes, data and versions."
    )
    return "\n\n".join(["# Data dictionary", *parts, about]) + "\n"
