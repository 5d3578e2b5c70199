"""The report as one HTML file that needs nothing else: the picture, the steps, the provenance."""

from __future__ import annotations

from html import escape
from pathlib import Path

from expand3d.core.files import write_whole
from expand3d.core.scores import Summary
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.figures import short
from expand3d.cost.price import cost_text
from expand3d.report import markup
from expand3d.report.study.chance import format_p
from expand3d.report.study.spent import spent
from expand3d.report.study.table import PRETRAINING
from expand3d.report.study.view import StudyView
from expand3d.report.style import PAGE
from expand3d.search.expansion.steps import StepSummary
from expand3d.search.statistics import label


def save_page(view: StudyView, path: Path, *, svg: str) -> Path:
    """Write the page with `svg` (the picture's text) inside it and return its path."""
    text = PAGE.substitute(
        title=escape(view.name),
        lead=_lead(view),
        cards=_cards(view),
        svg=svg[svg.index("<svg") :],
        steps=_steps(view),
        frontier=_frontier(view),
        baselines=_baselines(view),
        unscored=_unscored(view),
        facts=markup.table(
            (), ((markup.cell(key), markup.cell(value)) for key, value in view.facts.items())
        ),
    )
    return write_whole(path, text)


def _lead(view: StudyView) -> str:
    return escape(
        f"{view.family.upper()}, budget {view.budget_text} = "
        f"{view.quantity.text(view.budget)} a clip ({view.quantity.convention}); {view.state}; "
        f"{len(view.complete)} of {len(view.trials)} networks scored for "
        f"{short(spent(view.trials).training_macs)}MACs of training"
    )


def _cards(view: StudyView) -> str:
    """The numbers to take away: the winner, its cost, its final accuracy against chance."""
    cards = []
    if view.best:
        score = view.scores[view.best.number]
        cards += [
            markup.card("winner", f"trial {view.best.number}", _clip(view.best.candidate)),
            markup.card("cost", cost_text(view.best.candidate), _share(view, view.best)),
            markup.card("choosing clips", f"{score.top1:.1%}", f"top-1, 95% {_interval(score)}"),
        ]
    if view.final and view.final.score:
        score, p_value = view.final.score, view.final_p_value
        assert p_value is not None
        hits = f"{view.final.hits} of {score.clips} clips, 95% {_interval(score)}"
        against = f"{format_p(p_value)} against chance ({view.chance:.1%}, exact binomial)"
        cards.append(
            markup.card(
                "final training",
                f"{score.top1:.1%}",
                f"{hits}; {against}; {view.final.measured_on}",
                kind="final",
            )
        )
    elif view.final:
        cards.append(markup.card("final training", "no score", view.final.training.reason or ""))
    return "".join(cards)


def _share(view: StudyView, trial: Trial) -> str:
    params = trial.cost.get("params", 0)
    return (
        f"{trial.candidate.cost / view.budget:.0%} of the budget; {params / 1e6:.2f} M parameters"
    )


def _steps(view: StudyView) -> str:
    """A heading, the candidates and the decision of every step."""
    parts = [_step(view, step) for step in view.steps]
    return "".join(parts) or "<p>This study is not an expansion: it has no steps.</p>"


def _step(view: StudyView, step: StepSummary) -> str:
    offer = step.offer
    heading = f"Step {offer.step}" if offer.step else "Base"
    aim = f" near {offer.quantity.text(offer.target)}" if offer.step else ""
    kinds = {candidate.digest: "kept" for candidate in step.kept}
    if step.winner:
        kinds[step.winner.digest] = "won"
    body = []
    for candidate, trial in zip(offer.candidates, step.trials, strict=True):
        cells = (
            markup.cell(label(candidate)),
            markup.cell(_change(candidate, view.parent(candidate))),
            markup.cell(_clip(candidate)),
            *_measured(view, candidate, trial),
        )
        body.append(markup.row(cells, kinds.get(candidate.digest, "")))
    missing = "".join(
        f"<li>{escape(axis)} offers nothing: {escape(why)}</li>" for axis, why in offer.exhausted
    )
    columns = ("axis", "change", "clip", "cost", "top-1 (95%)", "log-loss")
    return (
        f"<h3>{heading}<em>{escape(aim)}</em></h3>{markup.table(columns, body)}"
        f'<p class="decision">{escape(step.text)}</p>' + (f"<ul>{missing}</ul>" if missing else "")
    )


def _change(candidate: Candidate, parent: Trial | None) -> str:
    """The factors that differ from the network that it grew from, each as 'old to new'."""
    if parent is None:
        return "all factors at their start"
    before = parent.candidate.genotype
    changes = (
        f"{name} {before[name]:.4g} → {value:.4g}"
        for name, value in candidate.genotype.factors.items()
        if before[name] != value
    )
    return ", ".join(changes)


def _clip(candidate: Candidate) -> str:
    plan = candidate.plan
    return f"{plan.frames} × {plan.stride} frames at {plan.crop} px"


def _measured(view: StudyView, candidate: Candidate, trial: Trial | None) -> tuple[str, ...]:
    score = view.scores.get(trial.number) if trial else None
    cost = markup.cell(cost_text(candidate), "number")
    if score is None:
        why = (trial.reason or trial.state) if trial else "not finished"
        return cost, f'<td colspan="2" class="none">{escape(why)}</td>'
    top1 = f"{score.top1:.1%} ({_interval(score)})"
    return cost, markup.cell(top1, "number"), markup.cell(f"{score.nll:.3f}", "number")


def _frontier(view: StudyView) -> str:
    on_path = set(view.path)
    body = [
        markup.row(
            (
                markup.cell(trial.number, "number"),
                markup.cell(view.origin(trial)),
                markup.cell(_clip(trial.candidate)),
                *_measured(view, trial.candidate, trial),
                markup.cell("chosen" if trial.number in on_path else ""),
            )
        )
        for trial in view.frontier
    ]
    note = (
        f'<p class="decision">Hypervolume {view.hypervolume:.4f}: accuracy x decades of '
        f"{view.quantity.noun}, up to chance ({view.chance:.1%}) and twice the budget.</p>"
    )
    columns = ("trial", "from", "clip", "cost", "top-1 (95%)", "log-loss", "path")
    return markup.table(columns, body) + note


def _baselines(view: StudyView) -> str:
    """The published networks that were trained like the candidates."""
    if not view.baselines:
        return ""
    body = [
        markup.row(
            (
                markup.cell(trial.number, "number"),
                markup.cell(view.names[trial.number]),
                markup.cell(trial.candidate.genotype.family),
                markup.cell(_clip(trial.candidate)),
                markup.cell(view.tested or ""),
                markup.cell(PRETRAINING),
                markup.cell(f"{trial.cost['params'] / 1e6:.2f} M", "number"),
                *_measured(view, trial.candidate, trial),
            )
        )
        for trial in view.baselines
    ]
    columns = ("trial", "network", "family", "clip", "views", "pretraining", "parameters")
    note = (
        '<p class="decision">Trained on the same clips by the same recipe as the candidates; '
        "views are test clips × crops. The printed accuracies of these networks come from longer "
        "trainings on other data.</p>"
    )
    table = markup.table((*columns, "cost", "top-1 (95%)", "log-loss"), body)
    return f"<h2>Baselines</h2>{table}{note}"


def _unscored(view: StudyView) -> str:
    items = (
        f"<li>trial {trial.number} ({escape(view.origin(trial))}): "
        f"{escape(trial.reason or trial.state)}</li>"
        for trial in view.trials
        if trial.number not in view.scores
    )
    text = "".join(items)
    return f"<h2>Without a score</h2><ul>{text}</ul>" if text else ""


def _interval(score: Summary) -> str:
    low, high = score.top1_ci
    return f"{low:.1%} to {high:.1%}"
