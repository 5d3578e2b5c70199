"""Everything that can be plugged in, on one page: a name, where it stands, a line of help.

To add one, write its file and a row here; `docs/extending.md` shows one of each. A package of the
user's own is named as `package.module:Name`, or offers an entry point in the group of the kind
(`expand3d.families`, ...): both take the same door as our rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from expand3d.core.errors import (
    ConfigError,
    DataError,
    ExportError,
    FactorError,
    UserError,
    nearest,
)


@dataclass(frozen=True)
class Row:
    """One thing that can be named: `target` is "module:attribute", loaded when it is asked for.

    `keys` are the keys of a study that do nothing without a row which names them.

    The rest is for export targets. `rebuilds`: it builds a network of its own, whose counts may
    differ from ours. `trained_only`: it refuses a network without weights. `needs`: packages
    without which it writes nothing. `options` are the
    keywords of its writer. `speller` is what refuses plans; without one it writes every network.
    `verifier` compares what was written with our network, by the packages `verified_by`.
    """

    target: str
    help: str
    keys: tuple[str, ...] = ()
    rebuilds: bool = False
    trained_only: bool = False
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    speller: str = ""
    verifier: str = ""
    verified_by: tuple[str, ...] = ()


def load_target(target: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class Kind(Mapping[str, Row]):
    """The rows of one kind by name; others are found by `package.module:Name` or entry point.

    Of a kind of `objects` a class may be named in place of its one object.
    """

    noun: str
    group: str
    error: type[UserError]
    rows: Mapping[str, Row] = field(repr=False)
    objects: bool = False

    def __getitem__(self, name: str) -> Row:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __hash__(self) -> int:
        return hash(self.group)

    def row(self, name: str) -> Row:
        """The row called `name`, ours or the user's; the kind's error names the nearest."""
        if name in self.rows:
            return self.rows[name]
        if ":" in name:
            return Row(name, f"{name}, which is not one of ours")
        for point in metadata.entry_points(group=self.group, name=name):
            return Row(point.value, f"{name}, of an installed package")
        raise self.error(f"unknown {self.noun} {name!r}{nearest(name, self.rows)}")

    def load(self, name: str) -> Any:
        """The object called `name`; the kind's error says what is missing where it cannot load."""
        target = self.row(name).target
        if name in self.rows:
            return _ours(target)
        try:
            found = load_target(target)
            return _object(found) if self.objects and isinstance(found, type) else found
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise self.error(f"{self.noun} {name!r} cannot be loaded: {error}") from None

    def everyone(self) -> tuple[str, ...]:
        """The names of what installed packages offer, then ours."""
        installed = (point.name for point in metadata.entry_points(group=self.group))
        return (*dict.fromkeys(sorted(name for name in installed if name not in self.rows)), *self)

    def using(self, key: str) -> tuple[str, ...]:
        """The names of the rows that use a key of a study; empty where everybody does."""
        return tuple(name for name, row in self.rows.items() if key in row.keys)


@cache
def _ours(target: str) -> Any:
    """The object of a row of this page; a search asks for its family a hundred thousand times."""
    return load_target(target)


@cache
def _object(kind: type) -> Any:
    """The one object of a class; TypeError where it cannot be made without arguments."""
    return kind()


def _family(name: str, help: str) -> Row:
    return Row(f"expand3d.networks.families.{name}:FAMILY", help)


FAMILIES = Kind(
    "family",
    "expand3d.families",
    FactorError,
    {
        "x3d": _family(
            "x3d", "X3D: a tiny 2D network expanded along time, space, depth, width and bottleneck"
        ),
        "r3d": _family(
            "r3d", "R3D: ResNets of 3D convolutions, in all stages or in some (MC, rMC, f-R2D, R2D)"
        ),
        "r2plus1d": _family(
            "r2plus1d", "R(2+1)D: ResNets whose 3D convolutions are split into space and time"
        ),
        "csn": _family(
            "csn", "CSN: 3D ResNets of channel-wise convolutions, interaction-reduced or -preserved"
        ),
        "slowonly": _family(
            "slowonly", "SlowOnly, C2D, I3D-R50: 2D ResNets with temporal kernels in some blocks"
        ),
        "c3d": _family(
            "c3d", "C3D: 3x3x3 convolutions and pools, with or without BatchNorm, FC or pooled head"
        ),
        "t3d": _family(
            "t3d",
            "T3D and DenseNet3D: densely connected, with temporal transition layers or without",
        ),
        "slowfast": _family(
            "slowfast",
            "SlowFast: a wide ResNet on few frames, a thin one on all, and lateral connections",
        ),
        "i3d": _family(
            "i3d", "I3D: Inception-v1 with its kernels inflated over time, in all stages or in some"
        ),
        "s3d": _family(
            "s3d", "S3D, S3D-G: I3D with convolutions over space and over time apart, and gates"
        ),
        "twostream": _family(
            "twostream", "two-stream networks: a frame and stacked optical flow, averaged"
        ),
        "i3d_twostream": Row(
            "expand3d.networks.families.clip_streams:I3D", "I3D on the clip and on its flow"
        ),
        "s3d_twostream": Row(
            "expand3d.networks.families.clip_streams:S3D", "S3D on the clip and on its flow"
        ),
        "r2plus1d_twostream": Row(
            "expand3d.networks.families.clip_streams:R2PLUS1D",
            "R(2+1)D on the clip and on its flow",
        ),
        "fusion": _family(
            "fusion", "convolutional two-stream fusion: towers of RGB and flow that meet early"
        ),
        "hidden_twostream": _family(
            "hidden_twostream",
            "hidden two-stream networks: one finds flow, the other reads it",
        ),
        "tsn": _family("tsn", "TSN: one picture of each segment of a video, RGB, flow or both"),
    },
    objects=True,
)

#: The family whose networks find optical flow, which can be pretrained by itself.
MOTION_FAMILY = "hidden_twostream"

#: Keys of a study that the expansion alone uses, and those of strategies that propose whole
#: networks. What the chosen strategy does not use must not be set: it would promise something.
_OF_EXPANSION = ("schedule", "beam", "growth", "ratio")
_OF_SAMPLERS = ("trials", "batch", "training_limit")
_OF_TABLES = ("rungs", "draws", "repeated", "only_first", "score_test")


def _sampler(help: str) -> Row:
    return Row("expand3d.search.samplers.sampling:Sampling", help, _OF_SAMPLERS)


STRATEGIES = Kind(
    "strategy",
    "expand3d.strategies",
    ConfigError,
    {
        "expand": Row(
            "expand3d.search.expansion.expansion:Expansion",
            "grows the best network so far, one axis a step",
            _OF_EXPANSION,
        ),
        "tpe": _sampler("density estimates of each factor"),
        "nsga2": _sampler("generations bred from the frontier"),
        "nsga3": _sampler("generations bred from the frontier, spread by reference points"),
        "gp": _sampler("a Gaussian process over factors, gain and cost"),
        "qmc": _sampler("points of a Sobol sequence"),
        "random": _sampler("random points"),
        "grid": _sampler("the finest regular grid"),
        "tabulate": Row(
            "expand3d.search.tabular.tabulation:Tabulation",
            "decides nothing: trains all that an expansion may come to into a table",
            _OF_TABLES,
        ),
    },
)

EXECUTORS = Kind(
    "executor",
    "expand3d.executors",
    ConfigError,
    {
        "here": Row("expand3d.execute.here:Here", "one training at a time, in this process"),
        "processes": Row(
            "expand3d.execute.processes:Processes", "worker processes on this machine"
        ),
        "ray": Row("expand3d.execute.ray:Ray", "a Ray cluster"),
    },
)

#: What a network may read; the value is the number of channels of one picture.
INPUTS = Kind(
    "input",
    "expand3d.inputs",
    FactorError,
    {
        "rgb": Row("expand3d.core.input_kinds:RGB", "the pixels of a frame"),
        "rgb-difference": Row(
            "expand3d.core.input_kinds:RGB_DIFFERENCE", "a frame less the one before it"
        ),
        "flow": Row("expand3d.core.input_kinds:FLOW", "optical flow from a frame to a later one"),
        "centred-flow": Row(
            "expand3d.core.input_kinds:CENTRED_FLOW", "optical flow less its mean over the picture"
        ),
        "trajectories": Row(
            "expand3d.core.input_kinds:TRAJECTORIES", "flow stacked along the paths of pixels"
        ),
        "both-ways-flow": Row(
            "expand3d.core.input_kinds:BOTH_WAYS", "flow forward and backward from a moment"
        ),
        "warped-flow": Row(
            "expand3d.core.input_kinds:WARPED_FLOW", "optical flow less the camera's motion"
        ),
    },
)

FLOWS = Kind(
    "flow method",
    "expand3d.flows",
    DataError,
    {
        "dis": Row("expand3d.data.flow.methods:Dis", "dense inverse search, fast"),
        "farneback": Row("expand3d.data.flow.methods:Farneback", "polynomial expansion"),
        "tvl1": Row(
            "expand3d.data.flow.methods:TvL1", "total variation; needs opencv-contrib, slow"
        ),
    },
)

#: Forms in which labelled videos lie on the disk. The first that recognises a source reads it;
#: those of installed packages are asked before ours.
LAYOUTS = Kind(
    "data layout",
    "expand3d.layouts",
    DataError,
    {
        "lists": Row(
            "expand3d.data.layouts.known:lists",
            "a folder with manifest.csv, or with train and val lists",
        ),
        "list": Row(
            "expand3d.data.layouts.known:one_list",
            "a list of paths and labels, or a CSV with a header",
        ),
        "folders": Row(
            "expand3d.data.layouts.known:class_folders",
            "a folder per class, or train, val and test folders that hold these",
        ),
        "pattern": Row(
            "expand3d.data.layouts.known:pattern",
            "'videos/*' or 'videos/*/*': each folder that it matches is a class",
        ),
    },
)

#: What a network may learn: the `Task` of a training loop.
TASKS = Kind(
    "training task",
    "expand3d.tasks",
    ConfigError,
    {
        "classify": Row(
            "expand3d.training.tasks.classify:ClassifyTask", "the classes of labelled clips"
        ),
        "transfer": Row(
            "expand3d.training.tasks.transfer:TransferTask",
            "the features of a frozen network of pictures, without labels",
        ),
        "motion": Row("expand3d.training.tasks.motion:MotionTask", "optical flow, without labels"),
        "playback": Row(
            "expand3d.training.tasks.playback:PlaybackTask", "how a clip is played, without labels"
        ),
    },
)

#: Functions `plan -> reason or None`: a search proposes only plans that each one it names allows.
RESTRICTIONS = Kind(
    "restriction",
    "expand3d.restrictions",
    ConfigError,
    {
        "pytorchvideo": Row(
            "expand3d.interop.pytorchvideo.folder:refusal",
            "networks that pytorchvideo can build",
        ),
        "pyslowfast": Row(
            "expand3d.interop.pyslowfast.folder:refusal",
            "networks that PySlowFast can build",
        ),
        "mmaction2": Row(
            "expand3d.interop.mmaction2.folder:refusal",
            "networks that MMAction2 can build",
        ),
    },
)

#: Codebases whose names of weights some family knows, and of what.
CODEBASES: Mapping[str, str] = {
    "pytorchvideo": "X3D, SlowFast, SlowOnly, C2D, I3D-R50, R(2+1)D, CSN",
    "pyslowfast": "X3D and SlowFast",
    "mmaction2": "X3D, and SlowFast with BatchNorm in its laterals",
    "torchvision": "R3D, MC3, R(2+1)D, S3D, DenseNet",
    "pytorch-i3d": "I3D",
}

FORMATS = Kind(
    "export target",
    "expand3d.formats",
    ExportError,
    {
        "json": Row(
            "expand3d.interop.json_folder:write",
            "genotype, plan, recipe, scores and provenance; weights under our own names",
        ),
        "pytorchvideo": Row(
            "expand3d.interop.pytorchvideo.folder:write",
            "a module that calls create_x3d, weights under its names, and a check",
            rebuilds=True,
            speller="expand3d.interop.pytorchvideo.folder:spelling",
        ),
        "pyslowfast": Row(
            "expand3d.interop.pyslowfast.folder:write",
            "PySlowFast configs for training and testing, and a checkpoint under its names",
            speller="expand3d.interop.pyslowfast.folder:spelling",
        ),
        "mmaction2": Row(
            "expand3d.interop.mmaction2.folder:write",
            "MMAction2 configs for training and testing, and a checkpoint under its names",
            speller="expand3d.interop.mmaction2.folder:spelling",
            verifier="expand3d.interop.mmaction2.folder:verify",
            verified_by=("mmaction", "mmengine", "mmcv"),
        ),
        "onnx": Row(
            "expand3d.interop.onnx:write",
            "one ONNX file for ONNX Runtime and its like, for any number of clips",
            trained_only=True,
            needs=("onnx", "onnxscript"),
            options=("opset", "pixels"),
            verifier="expand3d.interop.onnx:verify",
            verified_by=("onnxruntime",),
        ),
        "openvino": Row(
            "expand3d.interop.openvino:write",
            "OpenVINO's files, in float32, for any number of clips",
            trained_only=True,
            needs=("onnx", "onnxscript", "openvino"),
            options=("pixels",),
            verifier="expand3d.interop.openvino:verify",
            verified_by=("openvino",),
        ),
        "torch-export": Row(
            "expand3d.interop.torch_export:write",
            "a program that torch.export.load reads, for any number of clips",
            trained_only=True,
            options=("pixels",),
            verifier="expand3d.interop.torch_export:verify",
            verified_by=("torch",),
        ),
    },
)
