"""A study in words and as JSON: its state, the best so far, every trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expand3d.core.classes import confusions
from expand3d.core.result import Training
from expand3d.core.trial import Trial
from expand3d.report.study.raced import race_json
from expand3d.report.study.spent import spent
from expand3d.report.study.view import StudyView
from expand3d.search.expansion.steps import StepSummary


def final_text(view: StudyView) -> str | None:
    """One line about the winner's last training; None where there was none yet."""
    final = view.final
    if final is None:
        return None
    if final.training.status != "ok":
        return f"the winner's last training failed: {final.training.reason}"
    if final.score is None:
        return (
            "no test part was kept apart, so there is no accuracy beyond the one that the network "
            "was chosen by; the weights are trained on all clips"
        )
    score, (low, high) = final.score, final.score.top1_ci
    return (
        f"test, {score.clips} clips never used for choosing: top-1 {score.top1:.1%} "
        f"({low:.0%} to {high:.0%}), mean class accuracy {score.mean_class:.1%}, "
        f"p = {view.final_p_value:.2g} against chance {score.chance:.1%} (the largest class)"
    )


def trained_lines(view: StudyView) -> list[str]:
    """A line about each training in full."""
    lines = []
    for number, full in view.trained.items():
        score, said = full.score, "no clips were scored"
        if score is not None:
            low, high = score.top1_ci
            said = f"top-1 {score.top1:.1%} ({low:.0%} to {high:.0%}) on {full.measured_on}"
        gone = "" if full.weights else "; its weights are missing"
        lines.append(f"trained in full, trial {number}: {said}{gone}")
    return lines


def status_json(view: StudyView) -> dict[str, Any]:
    """The study for a script; accuracies from 0 to 1, times of training in seconds.

    `budget` is in what `quantity` names: multiply-adds, parameters, activations, bytes of memory,
    or nanoseconds of latency. `chance` is the share of the largest class among the clips that were
    scored; `confusions` are pairs of labels, commonest first, empty where none were kept. A curve
    has a row per epoch: loss and accuracy of the training clips, lr, seconds since the start.
    """
    best, final = view.best, view.final
    return {
        "study": view.name,
        "state": view.state,
        "family": view.family,
        "budget": view.budget,
        "budget_text": view.budget_text,
        "quantity": view.quantity.key,
        "metric": view.metric,
        "chance": view.chance,
        **({"confirmed": view.confirmed} if view.confirmed else {}),
        **race_json(view),
        "best": trial_json(view, best) if best else None,
        "final": final
        and {
            "status": final.training.status,
            "reason": final.training.reason,
            "measured_on": final.measured_on,
            "clips": final.score.clips if final.score else 0,
            "top1": final.score.top1 if final.score else None,
            "top1_ci": list(final.score.top1_ci) if final.score else None,
            "mean_class_accuracy": final.score.mean_class if final.score else None,
            "chance": final.score.chance if final.score else None,
            "p_value_against_chance": view.final_p_value,
            "confusions": [one._asdict() for one in confusions(final.training.scores)],
            "curve": _curve(final.training),
            "weights": str(final.weights) if final.weights else None,
        },
        "trained": [
            {
                "trial": number,
                "measured_on": full.measured_on,
                "top1": full.score.top1 if full.score else None,
                "top1_ci": list(full.score.top1_ci) if full.score else None,
                "mean_class_accuracy": full.score.mean_class if full.score else None,
                "curve": _curve(full.training),
                "weights": str(full.weights) if full.weights else None,
            }
            for number, full in view.trained.items()
        ],
        "steps": [_step_json(step) for step in view.steps],
        "trials": [trial_json(view, trial) for trial in view.trials],
    }


def _step_json(step: StepSummary) -> dict[str, Any]:
    """A step's decision; `comparison` with the runner-up is null where there was no contest."""
    choice = None if step.pending else step.choice
    comparison = choice.comparison if choice else None
    return {
        "step": step.offer.step,
        "decision": step.text,
        "macs": step.spent,
        "macs_of_whole_trainings": step.whole,
        "pending": step.pending,
        "sure": choice.sure if choice else None,
        "comparison": comparison.to_json() if comparison else None,
    }


def trial_json(view: StudyView, trial: Trial) -> dict[str, Any]:
    """One trial for a script; a score that is missing is null, with the reason."""
    candidate, score = trial.candidate, view.scores.get(trial.number)
    parent = view.parent(candidate)
    took = spent([trial])
    return {
        "number": trial.number,
        "state": trial.state,
        "reason": trial.reason,
        "step": candidate.step,
        "axis": candidate.axis,
        "merged": list(candidate.merged),
        "parent": parent.number if parent else None,
        "role": candidate.role,
        "label": view.names.get(trial.number),
        "genotype": candidate.genotype.to_json(),
        "plan": candidate.plan.to_json(),
        "digest": candidate.digest,
        "macs": candidate.macs,
        "params": trial.cost["params"],
        "activations": trial.cost.get("activations"),
        "memory": trial.cost.get("memory"),
        "latency": candidate.latency.to_json() if candidate.latency else None,
        "top1": score.top1 if score else None,
        "top1_ci": list(score.top1_ci) if score else None,
        "mean_class_accuracy": score.mean_class if score else None,
        "top5": score.top5 if score else None,
        "nll": score.nll if score else None,
        "clip_visits": sum(training.clip_visits for training in trial.furthest.values()),
        "training_macs": took.training_macs,
        "seconds": took.seconds,
        "waited_seconds": took.waited_seconds,
        "test_seconds": took.test_seconds,
        **took.memory_json(),
        "curves": {str(key): _curve(training) for key, training in trial.furthest.items()},
    }


def _curve(training: Training) -> list[Mapping[str, float]]:
    return [dict(row) for row in training.curve]
