"""Networks that failed: which may be trained again, and the advice that fits the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from expand3d.core.trial import BASELINE, Trial

DIVERGED = "diverged"
#: What helps a training that ended so, beside the flag that asks for it.
HELPS: Mapping[str, str] = {
    "timeout": "with a longer --candidate-timeout",
    "out of memory": "on another --device, or with fewer --workers",
}


def kind_of(trial: Trial) -> str:
    """The end of a failed trial: the status of the training that gave nothing, or "error"."""
    return next((t.status for t in trial.trainings.values() if t.status != "ok"), "error")


def failed(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The last failed trial of each proposed network that no other trial has answered.

    Baselines are left out: what proposes does not wait for them.
    """
    answered = {t.candidate.digest for t in trials if t.state in ("complete", "running")}
    last = {
        trial.candidate.digest: trial
        for trial in trials
        if trial.state == "failed"
        and trial.candidate.digest not in answered
        and trial.candidate.role != BASELINE
    }
    return tuple(last.values())


def to_retry(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Those of the failed that may end otherwise when trained again; divergence repeats itself."""
    return tuple(trial for trial in failed(trials) if kind_of(trial) != DIVERGED)


def advice(trials: Sequence[Trial], *, resume: str) -> str | None:
    """The advice about the networks that failed, in one line; None where there are none.

    `resume` is the command that continues the study.
    """
    kinds = Counter(kind_of(trial) for trial in failed(trials))
    diverged = kinds.pop(DIVERGED, 0)
    parts = []
    if kinds:
        ways = "; ".join(f"{kind}: {HELPS[kind]}" for kind in kinds if kind in HELPS)
        again = f"train {_networks(kinds.total())} again with: {resume} --retry-failed"
        parts.append(f"{again} ({ways})" if ways else again)
    if diverged:
        lower = _lower_rate(trials)
        parts.append(
            f"{diverged} diverged and would again: begin a new study with a lower "
            f"learning rate, such as --recipe lr={lower:g}"
        )
    return "; ".join(parts) or None


def _networks(count: int) -> str:
    return "1 network that failed" if count == 1 else f"{count} networks that failed"


def _lower_rate(trials: Sequence[Trial]) -> float:
    """A quarter of the learning rate with which the last failed trial was trained."""
    recipes = [trial.provenance.get("recipe") or {} for trial in failed(trials)]
    return float(next((r["lr"] for r in reversed(recipes) if r.get("lr")), 0.4)) / 4
