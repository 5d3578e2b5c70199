"""Everything that can be plugged in, on one page: a name, where it stands, a line of help.

To add one, write its file and a row here; `docs/extending.md` shows one of each. A package of the
user's own is named as `package.module:Name`, or offers an entry point in the group of the kind
(`expand3d.families`, ...): both take the same door as our rows.
"""

from __future__ import annotations

from collections.abc import Mapping

from expand3d.core.errors import ConfigError, DataError, ExportError, FactorError
from expand3d.core.plugin_rows import Kind, Row


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

#: Keys of a study that the expansion uses, and those of strategies that propose whole networks.
#: What the chosen strategy does not use must not be set: it would promise something.
_OF_EXPANSION = ("schedule", "beam", "growth", "ratio", "race", "rungs", "more_seeds")
_OF_SAMPLERS = ("trials", "batch", "training_limit", "race", "rungs")
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


def _layouts(**rows: tuple[str, str]) -> dict[str, Row]:
    """Rows by name: what it is, and the names of its options."""
    home = "expand3d.data.layouts"
    return {n: Row(f"{home}.{n}:read", h, options=tuple(o.split())) for n, (h, o) in rows.items()}


def _known(name: str, help: str) -> Row:
    return Row(f"expand3d.data.layouts.known:{name}", help)


#: Forms in which labelled videos lie on the disk. The first that recognises a source reads it;
#: those of installed packages are asked before ours.
LAYOUTS = Kind(
    "data layout",
    "expand3d.layouts",
    DataError,
    _layouts(
        ucf101=("UCF101 with its official splits", "split"),
        hmdb51=("HMDB51 with its official splits", "split"),
        kinetics=("Kinetics: clips anywhere below, and the official CSVs", ""),
        something=("Something-Something v2: videos and JSON", ""),
        twentybn=("Jester, Something-Something v1: folders of pictures", "fps"),
        diving48=("Diving48: videos and JSON", ""),
        mmaction2=("lists under the names of mmaction2's tools", "split fps"),
        webdataset=("WebDataset shards, read in place", ""),
    )
    | {
        "lists": _known("lists", "a folder with manifest.csv, or with train and val lists"),
        "list": _known("one_list", "a list of paths and labels, or a CSV with a header"),
    }
    | _layouts(frames=("a folder per class that holds folders of pictures", "fps"))
    | {
        "folders": _known(
            "class_folders", "a folder per class, or train, val and test folders that hold these"
        ),
        "pattern": _known(
            "pattern", "'videos/*' or 'videos/*/*': each folder that it matches is a class"
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

#: What runs a network whose latency is measured: functions that give one pass of it.
RUNTIMES = Kind(
    "runtime",
    "expand3d.runtimes",
    ConfigError,
    {
        "torch": Row("expand3d.measure.latency:measure_latency", "as trainings run it"),
        "onnxruntime": Row(
            "expand3d.measure.runtimes:onnxruntime",
            "ONNX Runtime on the CPU",
            needs=("onnx", "onnxscript", "onnxruntime"),
            extra="onnx",
        ),
        "openvino": Row(
            "expand3d.measure.runtimes:openvino",
            "OpenVINO on the CPU",
            needs=("onnx", "onnxscript", "openvino"),
            extra="openvino",
        ),
        "onnxruntime-int8": Row(
            "expand3d.measure.runtimes:onnxruntime_int8",
            "ONNX Runtime on the CPU, in 8 bits",
            needs=("onnx", "onnxscript", "onnxruntime"),
            extra="onnx",
        ),
        "openvino-int8": Row(
            "expand3d.measure.runtimes:openvino_int8",
            "OpenVINO on the CPU, in 8 bits",
            needs=("onnx", "onnxscript", "onnxruntime", "openvino"),
            extra="onnx,openvino",
        ),
    },
)

#: Codebases whose names of weights some family knows, and of what.
CODEBASES: Mapping[str, str] = {
    "pytorchvideo": "X3D, SlowFast, SlowOnly, C2D, I3D-R50, R(2+1)D, CSN",
    "pyslowfast": "X3D, SlowFast, SlowOnly, C2D, I3D-R50; CSN, R(2+1)D by pytorchvideo's names",
    "mmaction2": "X3D, SlowFast with BatchNorm in its laterals, SlowOnly, I3D-R50, CSN, C3D, TSN",
    "torchvision": "R3D, MC3, R(2+1)D, S3D, DenseNet; ResNets and VGGs of two-stream networks",
    "timm": "ResNets and VGGs of two-stream networks",
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
            verifier="expand3d.interop.json_folder:verify",
            verified_by=("torch",),
        ),
        "pytorchvideo": Row(
            "expand3d.interop.pytorchvideo.folder:write",
            "a module that calls its builder, weights under its names, and a check",
            rebuilds=True,
            speller="expand3d.interop.pytorchvideo.folder:spelling",
            verifier="expand3d.interop.pytorchvideo.folder:verify",
            verified_by=("pytorchvideo", "torchvision"),
        ),
        "pyslowfast": Row(
            "expand3d.interop.pyslowfast.folder:write",
            "PySlowFast configs for training and testing, and a checkpoint under its names",
            speller="expand3d.interop.pyslowfast.folder:spelling",
            verifier="expand3d.interop.pyslowfast.folder:verify",
            in_repo=True,
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
            quantises=True,
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
