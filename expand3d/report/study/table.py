"""The trials of a study as rows, and as the CSV that the report writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expand3d.core.trial import Trial
from expand3d.report.study.spent import spent
from expand3d.report.study.view import StudyView

if TYPE_CHECKING:
    import pandas as pd


#: What every network of a study is trained from.
PRETRAINING = "none (scratch)"


def rows(view: StudyView) -> list[dict[str, Any]]:
    """One mapping per trial in order of number; None stands for what was not measured.

    `macs` and `training_macs` are multiply-adds, `top1` with its 95% interval and
    `mean_class_accuracy` run from 0 to 1, `nll` is in nats, `memory` in bytes, `latency_ms` the
    median with its quartiles; `seconds` counts training time. `parent` is the number of the trial
    that an expansion grew or contracted. `label` names a published network; `views` are test clips
    x crops; a factor of another family
    is left out.
    """
    on_frontier = {trial.number for trial in view.frontier}
    on_path = set(view.path)
    return [
        _row(view, trial)
        | {"on_frontier": trial.number in on_frontier, "on_path": trial.number in on_path}
        | _spent(trial)
        | {"reason": trial.reason}
        for trial in view.trials
    ]


def dataframe(view: StudyView) -> pd.DataFrame:
    """The rows as a table whose whole numbers stay whole."""
    import pandas as pd

    return pd.DataFrame(rows(view)).convert_dtypes()


def _row(view: StudyView, trial: Trial) -> dict[str, Any]:
    candidate, latency = trial.candidate, trial.candidate.latency
    score, parent = view.scores.get(trial.number), view.parent(candidate)
    low, high = score.top1_ci if score else (None, None)
    return {
        "number": trial.number,
        "state": trial.state,
        "step": candidate.step,
        "role": candidate.role,
        "label": view.names.get(trial.number),
        "family": candidate.genotype.family,
        "axis": candidate.axis,
        "merged": " ".join(candidate.merged) or None,
        "parent": parent.number if parent else None,
        **candidate.genotype.factors,
        "frames": candidate.plan.frames,
        "stride": candidate.plan.stride,
        "crop": candidate.plan.crop,
        "views": view.tested,
        "pretraining": PRETRAINING,
        "macs": candidate.macs,
        "params": trial.cost.get("params"),
        "activations": trial.cost.get("activations"),
        "memory": trial.cost.get("memory"),
        "latency_ms": latency.median if latency else None,
        "latency_low_ms": latency.low if latency else None,
        "latency_high_ms": latency.high if latency else None,
        "top1": score.top1 if score else None,
        "top1_ci_low": low,
        "top1_ci_high": high,
        "mean_class_accuracy": score.mean_class if score else None,
        "nll": score.nll if score else None,
    }


def _spent(trial: Trial) -> dict[str, Any]:
    took = spent([trial])
    return {
        "training_macs": took.training_macs,
        "seconds": round(took.seconds, 3),
        **took.memory_json(),
    }
