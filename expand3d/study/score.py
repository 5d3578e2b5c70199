"""The estimate that a trial's trainings give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expand3d.study.trial import Trial

if TYPE_CHECKING:
    from expand3d.train.metrics import Summary


def summarise(trial: Trial) -> Summary | None:
    """Top-1 with its 95% interval, top-5 and log-loss over all held-out clips; None without any.

    Folds are pooled and repeats averaged clip by clip. A running trial gives the estimate of the
    trainings that it has so far.
    """
    from expand3d.train.metrics import summary  # numpy, which a reader of trials need not load

    return summary(trial.means) if trial.means else None
