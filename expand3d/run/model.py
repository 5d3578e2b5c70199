"""A trained network that answers: of a folder, a study, or an ONNX file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from expand3d.core.errors import ConfigError, ExportError
from expand3d.core.genotype import Plan
from expand3d.data.flow.store import FlowSpec
from expand3d.data.in_memory import Reading
from expand3d.interop.json_folder import NETWORK, load_export
from expand3d.interop.network import TRAINING_CLIPS
from expand3d.networks import plan_from_json
from expand3d.run.initial import WEIGHT_FILES
from expand3d.run.reading import FLOW, reading_of, with_flow_keys
from expand3d.study.record import DATA, Record
from expand3d.study.sections import is_path
from expand3d.study.trained import trained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from expand3d.training.views import Views

#: What an ONNX file is called.
ONNX = ".onnx"
#: Recipe with which a network of ours is placed where it came without one.
VIEWS = 8


class Answers(Protocol):
    """Probabilities of views."""

    def probabilities(self, views: Views) -> Tensor:
        """N x classes, float64 on the CPU, of N uint8 views of each input."""


@dataclass(frozen=True)
class Trained:
    """A trained network: a folder's, a study's, or an ONNX file's.

    `reading` is the form in which its training read videos. `clips` are hashes of the clips that
    trained it, as far as they are known. `weights` is a safetensors file, or None where `onnx` is
    the file.
    """

    title: str
    plan: Plan
    classes: tuple[str, ...]
    reading: Reading
    weights: Path | None
    onnx: Path | None = None
    clips: frozenset[str] = field(default=frozenset(), repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    record: Record | None = field(default=None, repr=False)

    @property
    def fps(self) -> float:
        """The frame rate that it reads."""
        return self.reading.fps

    def build(self) -> nn.Module:
        """The network in eval mode with its weights; ConfigError of an ONNX file."""
        from expand3d.networks import get_family
        from expand3d.networks.weights.kept import put_weights

        if self.weights is None:
            raise ConfigError(f"{self.title} is an ONNX file; a folder with weights is needed")
        network = get_family(self.plan.family).build(self.plan, dropout=0.0)
        put_weights(network, self.weights)
        return network.eval()

    def with_flow(self, given: Mapping[str, Any]) -> Trained:
        """The same, whose flow is made by these keys of a study where they are given.

        ConfigError where it reads none, or reads some and nobody says how that was made.
        """
        reading = with_flow_keys(self.reading, self.plan, given, self.title)
        return dataclasses.replace(self, reading=reading)

    def answers(self, *, device: str, threads: int, views: int = VIEWS) -> Answers:
        """Probabilities by the network; `views` are those of a pass."""
        if self.onnx is not None:
            return _Onnx(self.onnx, self.plan, threads=threads)
        return _Torch(self, device=device, threads=threads, views=views)


def load_trained(text: str, *, root: str, storage: str | None = None) -> Trained:
    """The trained network that `text` names: ./DIR, FILE.onnx, STUDY for its winner, or STUDY:N.

    ConfigError, or ExportError, where there is none or its weights were not kept.
    """
    path = Path(text)
    if path.suffix == ONNX:
        return _of_onnx(path)
    if path.suffix in WEIGHT_FILES and path.is_file():
        raise ConfigError(
            f"{path} is a file of weights: make a folder of it first, with expand3d import, which "
            "knows whose names they are"
        )
    if is_path(text) or (path.is_dir() and (path / NETWORK).is_file()):
        return _of_folder(path)
    return _of_study(text, root, storage)


def _of_folder(path: Path) -> Trained:
    folder = path if path.is_dir() else path.parent
    network = load_export(path)
    if network.weights is None:
        if (folder / "model.onnx").is_file():
            return _of_onnx(folder / "model.onnx")
        raise ConfigError(f"{path} has no weights: it was exported without")
    _refuse_nameless(str(path), network.classes)
    return Trained(
        title=str(path),
        plan=network.plan,
        classes=network.classes,
        reading=reading_of(
            network.plan,
            network.target_fps or 30.0,
            recipe=network.recipe,
            flow=_flow(network.provenance),
        ),
        weights=network.weights,
        clips=frozenset(network.provenance.get(TRAINING_CLIPS, ())),
        provenance=network.provenance,
    )


def _flow(facts: Mapping[str, Any]) -> FlowSpec | None:
    """The settings of flow that an export keeps; None where it has none."""
    return FlowSpec(**facts[FLOW]) if FLOW in facts else None


def _refuse_nameless(title: str, classes: tuple[str, ...]) -> None:
    if not classes:
        raise ConfigError(f"{title} does not say which classes it knows")


def _of_study(text: str, root: str, storage: str | None) -> Trained:
    name, _, number = text.partition(":")
    record = Record.open(name, root=root, storage=storage)
    if number and not number.isdecimal():
        raise ConfigError(f"{text!r} must be a study and a trial's number, such as {name}:3")
    final, in_full = record.final(), trained(record)
    if not number and final is None and not in_full:
        raise ConfigError(f"study {name!r} has no trained weights yet; train with: expand3d train")
    wanted = int(number) if number else (final or {"trial": next(iter(in_full), 0)})["trial"]
    trial = record.trial(wanted)
    data = record.attribute(DATA)
    if wanted in in_full:
        kept = in_full[wanted]
        file, clips = record.folder.path / kept["weights"], frozenset(kept["clips"])
        recipe = kept["recipe"]
    elif final is not None and final["trial"] == wanted and final["weights"]:
        file, clips = record.folder.weights / final["weights"], frozenset(record.clips_of_last())
        recipe = final.get("recipe")
    else:
        raise ConfigError(
            f"no weights of trial {wanted} were kept; train it with: expand3d train {name}:{wanted}"
        )
    if not file.is_file():
        raise ConfigError(f"{file}, the weights of trial {wanted}, is missing")
    config, plan = record.config(), trial.candidate.plan
    flow = config.computed_flow()
    return Trained(
        title=f"{name}, trial {wanted}",
        plan=plan,
        classes=tuple(data["classes"]),
        reading=reading_of(plan, config.fps, recipe=recipe, flow=flow, began=data),
        weights=file,
        clips=clips,
        record=record,
    )


def _of_onnx(file: Path) -> Trained:
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(f"{file} needs ONNX Runtime: pip install 'expand3d[onnx]'") from None
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file")
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        facts = session.get_modelmeta().custom_metadata_map
        plan = plan_from_json(json.loads(facts["plan"]))
        classes, fps = tuple(json.loads(facts["labels"])), json.loads(facts["target_fps"])
        flow = _flow({FLOW: json.loads(facts[FLOW])} if FLOW in facts else {})
    except KeyError as error:
        raise ExportError(
            f"{file} lacks the fact {error} that `expand3d export --to onnx` writes"
        ) from None
    except Exception as error:  # whatever ONNX Runtime raises
        raise ExportError(f"{file} is no ONNX file: {str(error).splitlines()[0]}") from None
    _refuse_nameless(str(file), classes)
    reading = reading_of(plan, fps or 30.0, flow=flow)
    return Trained(str(file), plan, classes, reading, None, onnx=file)


class _Torch:
    def __init__(self, model: Trained, *, device: str, threads: int, views: int) -> None:
        import torch

        from expand3d.core.recipe import get_profile
        from expand3d.training.placement import place
        from expand3d.training.scoring import Scorer

        torch.set_num_threads(threads)
        self.placement = place(get_profile("final"), device=device, threads=threads)
        self.network = self.placement.model(model.build())
        self._scorer = Scorer(self.network, self.placement, views=views, kinds=model.plan.kinds)

    def probabilities(self, views: Views) -> Tensor:
        return self._scorer.probabilities(views)


class _Onnx:
    def __init__(self, file: Path, plan: Plan, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self._inputs, self._kinds = self._session.get_inputs(), plan.kinds

    def probabilities(self, views: Views) -> Tensor:
        import torch

        from expand3d.data.crops import normalise

        fed = {}
        for each, view, kind in zip(self._inputs, views, self._kinds, strict=True):
            pixels = each.type == "tensor(uint8)"
            made = view if pixels else normalise(view, kind).contiguous()
            fed[each.name] = made.numpy()
        (logits,) = self._session.run(["logits"], fed)
        return torch.from_numpy(logits).softmax(dim=1).double()
