"""The files of a table, made from the record of the study that trained its networks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expand3d.core.errors import StudyError
from expand3d.core.files import make_folder, write_whole
from expand3d.core.result import Training, TrainingKey
from expand3d.core.scores import ClipScore
from expand3d.core.trial import Trial
from expand3d.search.strategies import strategy_from_json
from expand3d.search.tabular.columns import (
    ABOUT,
    CLIPS,
    DICTIONARY,
    FORMAT,
    OF_CLIPS,
    OF_SCORES,
    OF_UNTRAINED,
    SCORES,
    UNTRAINED,
    dictionary,
)
from expand3d.study.record import DATA, STRATEGY, Record

if TYPE_CHECKING:
    import pyarrow


def write_table(
    record: Record,
    folder: str | Path,
    *,
    untrained: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Path]:
    """The files of the record's table so far, in `folder`: scores, clips and the data dictionary.

    `untrained` has scores without training of each network by its digest, and makes a file more.
    StudyError where the study made no table. The same record gives the same files.
    """
    import pyarrow

    test = (record.attribute(DATA) or {}).get("test")
    trained = [trial for trial in record.trials() if trial.trainings]
    if test is None or not trained:
        raise StudyError(f"study {record.name!r} has no table; expand3d tabulate makes one")
    whole = record.config().training_recipe().clip_visits or 0
    of_test = set(test)
    rows = [row for trial in trained for row in _rows(trial, of_test, whole)]
    first = next(r.scores for t in trained for r in t.trainings.values() if r.scores)
    made = make_folder(folder)
    about = {ABOUT: json.dumps(_about(record, trained[0])).encode()}
    return [
        _write(made / SCORES, rows, pyarrow.schema(_fields(OF_SCORES), metadata=about)),
        _write(
            made / CLIPS,
            _clips(first, of_test, record.attribute(DATA)["classes"]),
            pyarrow.schema(_fields(OF_CLIPS)),
        ),
        *_untrained(made, untrained),
        write_whole(made / DICTIONARY, dictionary(untrained=untrained is not None)),
    ]


def _untrained(folder: Path, scores: Mapping[str, Mapping[str, float]] | None) -> Iterator[Path]:
    import pyarrow

    if scores is not None:
        rows = [{"network": name, **found} for name, found in scores.items()]
        yield _write(folder / UNTRAINED, rows, pyarrow.schema(_fields(OF_UNTRAINED)))


def _about(record: Record, trial: Trial) -> dict[str, Any]:
    """The values that hold for the whole table."""
    config, data = record.config(), record.attribute(DATA)
    strategy = strategy_from_json(record.attribute(STRATEGY), known=record.latency)
    recipe = config.training_recipe()
    return {
        "format": FORMAT,
        "study": record.name,
        "family": strategy.family,
        "start": strategy.base().genotype.to_json(),
        "budget": strategy.budget,
        "limits": strategy.limits.to_json(),
        "classes": data["classes"],
        "data": {"source": config.data, "fingerprint": data["fingerprint"]},
        "recipe": recipe.to_json(),
        "visits": recipe.clip_visits,
        "rungs": sorted(config.rungs),
        "seed": config.seed,
        "repeats": config.repeats,
        "versions": trial.provenance.get("versions"),
        "device": trial.provenance.get("device"),
        "threads": trial.provenance.get("threads"),
    }


def _rows(trial: Trial, of_test: set[str], whole: int) -> Iterator[dict[str, Any]]:
    """A row per test of the trial, by fold, seed and visits."""
    candidate = trial.candidate
    network = {
        "network": candidate.plan.digest,
        "genotype": json.dumps(candidate.genotype.to_json()),
        "plan": json.dumps(candidate.plan.to_json()),
        "role": candidate.role,
        "step": candidate.step,
        "axis": candidate.axis,
        **{key: trial.cost[key] for key in ("macs", "params", "activations")},
        "frames": candidate.plan.frames,
        "stride": candidate.plan.stride,
        "crop": candidate.plan.crop,
    }

    def place(item: tuple[TrainingKey, Training]) -> tuple[int, int, float]:
        return item[0].fold, item[0].repeat, item[0].reach

    for key, training in sorted(trial.trainings.items(), key=place):
        yield {
            **network,
            "fold": key.fold,
            "repeat": key.repeat,
            "visits": whole if key.visits is None else key.visits,
            "clip_visits": training.clip_visits,
            "status": training.status,
            "training_macs": training.training_macs,
            "seconds": training.seconds,
            **_scores(training.scores, of_test),
        }


def _scores(scores: Sequence[ClipScore], of_test: set[str]) -> dict[str, list[Any]]:
    parts = {
        "val": [score for score in scores if score.key not in of_test],
        "test": [score for score in scores if score.key in of_test],
    }
    return {
        **{f"{part}_nll": [score.nll for score in found] for part, found in parts.items()},
        **{f"{part}_class": [score.predicted for score in found] for part, found in parts.items()},
    }


def _clips(
    scores: Sequence[ClipScore], of_test: set[str], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """The clips in the order in which a training's scores have them."""
    return [
        {
            "part": "test" if score.key in of_test else "val",
            "key": score.key,
            "label": score.label,
            "class": classes[score.label],
            "group": score.group,
        }
        for score in scores
    ]


def _fields(columns: Any) -> list[pyarrow.Field]:
    """The columns as Arrow's fields, each with its line of help."""
    import pyarrow

    kinds = {
        "string": pyarrow.string(),
        "int16": pyarrow.int16(),
        "int32": pyarrow.int32(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "list<float32>": pyarrow.list_(pyarrow.float32()),
        "list<int16>": pyarrow.list_(pyarrow.int16()),
    }
    return [
        pyarrow.field(name, kinds[kind], metadata={"description": help})
        for name, (kind, help) in columns.items()
    ]


def _write(path: Path, rows: list[dict[str, Any]], schema: pyarrow.Schema) -> Path:
    import pyarrow
    import pyarrow.parquet as parquet

    content = io.BytesIO()
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    parquet.write_table(table, content, compression="zstd")
    return write_whole(path, content.getvalue())
