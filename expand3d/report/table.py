"""The trials of a study as rows, and as the CSV that the report writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expand3d.report.view import StudyView
from expand3d.study.trial import Trial

if TYPE_CHECKING:
    import pandas as pd


#: What every network of a study is trained from.
PRETRAINING = "none (scratch)"


def rows(view: StudyView) -> list[dict[str, Any]]:
    """One mapping per trial in order of number; None stands for what was not measured.

    `macs` and `training_macs` are multiply-adds, `top1` and its 95% interval run from 0 to 1,
    `nll` is in nats, `seconds` counts training time. `label` names a published network; `views` are
    test clips x crops; a factor of another family is left out.
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
    candidate = trial.candidate
    score = view.scores.get(trial.number)
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
        **candidate.genotype.factors,
        "frames": candidate.plan["frames"],
        "stride": candidate.plan["stride"],
        "crop": candidate.plan["crop"],
        "views": view.tested,
        "pretraining": PRETRAINING,
        "macs": candidate.macs,
        "params": trial.cost.get("params"),
        "top1": score.top1 if score else None,
        "top1_ci_low": low,
        "top1_ci_high": high,
        "nll": score.nll if score else None,
    }


def _spent(trial: Trial) -> dict[str, Any]:
    trainings = trial.trainings.values()
    return {
        "training_macs": sum(training.training_macs for training in trainings),
        "seconds": round(sum(training.seconds for training in trainings), 3),
    }
