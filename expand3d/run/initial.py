"""The weights that a study's trainings begin with: an exported network's, or a study's winner's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expand3d.core.errors import ConfigError, StudyError, WeightsError
from expand3d.core.genotype import Plan
from expand3d.core.trial import PARENT, SCRATCH
from expand3d.execute.evaluate import Job
from expand3d.interop.json_folder import load_export
from expand3d.interop.network import TRAINING_CLIPS
from expand3d.networks import get_family
from expand3d.networks.remapping.channels import Channels
from expand3d.networks.weights.initial import Initial, hash_of
from expand3d.study.record import DATA, Record
from expand3d.study.sections import is_path

#: Suffixes of files of weights that are of another codebase, or say nothing of their network.
WEIGHT_FILES = (".pth", ".pyth", ".pt", ".ckpt", ".safetensors")


def find_initial(text: str, *, root: str, storage: str | None = None) -> Initial | None:
    """The weights that `text` names: a folder of `export` or `import`, a study, or no weights.

    ConfigError where it has none, or is a file whose names nobody knows yet.
    """
    if text == SCRATCH:
        return None
    if Path(text).suffix in WEIGHT_FILES:
        raise ConfigError(
            f"init = {text!r} is a file of weights: make a folder of it first, with expand3d "
            "import, which knows whose names they are"
        )
    if text == PARENT:
        raise ConfigError(
            f"init = {PARENT!r} is for a search, in which networks grow from one another; name a "
            "study for its winner's weights, or a folder as ./DIR"
        )
    return _of_folder(text) if is_path(text) else _of_study(text, root, storage)


def _of_folder(text: str) -> Initial:
    network = load_export(text)
    if network.weights is None:
        raise ConfigError(f"init = {text!r} was exported without weights")
    file = network.weights.resolve()
    clips = frozenset(network.provenance.get(TRAINING_CLIPS, ()))
    return _read(Initial(file, network.plan, hash_of(file), network.classes, clips))


def _of_study(text: str, root: str, storage: str | None) -> Initial:
    record = Record.open(text, root=root, storage=storage)
    final = record.final()
    file = record.folder.weights.resolve() / ((final or {}).get("weights") or "")
    if final is None or not file.is_file():
        raise ConfigError(
            f"init = {text!r}: that study has no weights of a winner; a folder is written with a "
            f"slash, such as ./{text}"
        )
    trial = record.trial(final["trial"])
    classes = tuple(record.attribute(DATA)["classes"])
    clips = frozenset(record.clips_of_last())
    return _read(Initial(file, trial.candidate.plan, hash_of(file), classes, clips))


def _read(initial: Initial) -> Initial:
    """The same, whose file can be read and fits its own network; else WeightsError names it."""
    try:
        initial.start(initial.plan, seed=0, classes=initial.classes)
    except WeightsError as error:
        named = str(initial.file) in str(error)
        raise WeightsError(str(error) if named else f"{initial.file}: {error}") from None
    return initial


def refuse_unfit(
    initial: Initial, base: Plan, *, jobs: Sequence[Job], clips: Sequence[str]
) -> None:
    """Refuse weights that no network of the study could begin with, or that saw too much.

    `clips` are the hashes of the store's clips. ConfigError for another family; WeightsError where
    the base cannot be remapped, or a clip that chooses or tests has trained the weights.
    """
    if initial.plan.family != base.family:
        raise ConfigError(
            f"init: {initial.file} is of family {initial.plan.family!r}, not {base.family!r}"
        )
    get_family(base.family).follow(initial.plan, base, Channels(base.family))
    initial.refuse_seen({clips[index] for job in jobs for index in job.held_out})


def refuse_unfollowed(base: Plan) -> None:
    """WeightsError where the family cannot carry weights into a network of another size."""
    get_family(base.family).follow(base, base, Channels(base.family))


def to_json(initial: Initial) -> dict[str, Any]:
    """The weights as a record keeps them, with the clips that trained them."""
    return {"file": str(initial.file), "sha": initial.sha, "clips": sorted(initial.clips)}


def refuse_other(kept: Mapping[str, Any] | None, initial: Initial | None) -> None:
    """StudyError where the weights are not those that the record was begun with."""
    if (kept or {}).get("sha", SCRATCH) != (SCRATCH if initial is None else initial.sha):
        raise StudyError(
            f"{(kept or {}).get('file', 'init')} holds other weights than when the study began"
        )


def unknown_clips(initial: Initial) -> str | None:
    """A note where nobody knows which clips trained the weights; None where it is known."""
    if initial.clips:
        return None
    return (
        f"nobody knows which clips trained {Path(initial.file).name}: if some of them are in this "
        "study's validation or test part, its scores are too good"
    )
