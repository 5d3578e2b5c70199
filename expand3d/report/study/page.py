"""The report as one HTML file that needs nothing else: pictures that answer, steps, provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from expand3d.core.classes import confusions
from expand3d.core.files import write_whole
from expand3d.core.scores import ClipScore, Summary
from expand3d.core.trial import Candidate, Trial
from expand3d.cost.figures import short
from expand3d.cost.price import cost_text
from expand3d.report.markup import Card, Cell, Row, Table, number, render
from expand3d.report.study.advice import Answer, advise
from expand3d.report.study.chance import format_p
from expand3d.report.study.content import NO_PREDICTIONS, as_json, page_content
from expand3d.report.study.mistakes import judged, unpredicted
from expand3d.report.study.raced import race_text
from expand3d.report.study.spent import spent
from expand3d.report.study.table import PRETRAINING
from expand3d.report.study.thumbnails import Thumbnails
from expand3d.report.study.view import StudyView
from expand3d.search.expansion.steps import StepSummary
from expand3d.search.statistics import label

#: The columns of what a network costs and how well it does.
MEASURED = ("cost", "top-1 (95%)", "mean class", "log-loss")
#: Pairs of confused classes and networks without a score that tables show, at most.
PAIRS, LISTED = 12, 100
#: Bytes of a page, and characters of the picture that does not answer, at most.
LIMIT, STILL = 1_900_000, 250_000
#: The place of the JSON, which no text of the page can hold: "<" is escaped.
SLOT = "<content>"


def save_page(view: StudyView, path: Path, *, svg: str | None) -> Path:
    """`path`, which now holds the page; `svg` (a picture's text) is for who runs no script."""
    text, _ = page_text(view, svg=svg, thumbnails=Thumbnails(view))
    return write_whole(path, text)


def page_text(
    view: StudyView,
    *,
    svg: str | None = None,
    thumbnails: Thumbnails | None = None,
    look_again: int | None = None,
) -> tuple[str, str]:
    """The page and its version, 16 digits that change with what it shows; below LIMIT bytes.

    One that is served asks for a newer version every `look_again` milliseconds.
    """
    from markupsafe import Markup

    mine = judged(view)
    text = render(
        "study.html.j2",
        svg=svg if svg is not None and len(svg) <= STILL else None,
        title=view.name,
        lead=_lead(view),
        cards=list(_cards(view)),
        path=[_stage(view, step) for step in view.steps if step.ranked],
        steps=[_step(view, step) for step in view.steps],
        frontier=_frontier(view),
        hypervolume=f"{view.hypervolume:.4f}",
        cost_noun=view.quantity.noun,
        chance=f"{view.chance:.1%}",
        limits=[_limit(answer) for answer in advise(view)],
        judged=mine.of if mine.scores else None,
        unpredicted=NO_PREDICTIONS if unpredicted(mine) else None,
        confused=_confused(view, mine.scores),
        baselines=_baselines(view) if view.baselines else None,
        unscored=_unscored(view),
        facts=Table((), tuple(map(Row.of, _facts(view).items()))),
        content=Markup(SLOT),
    )
    room = LIMIT - len(text.encode())
    content = page_content(view, room=max(room, 0), thumbnails=thumbnails)
    version = hashlib.sha256((text + as_json(content)).encode()).hexdigest()[:16]
    return text.replace(SLOT, as_json(content | {"version": version, "watch": look_again})), version


def _lead(view: StudyView) -> str:
    return (
        f"{view.family.upper()}, budget {view.budget_text} = "
        f"{view.quantity.text(view.budget)} a clip ({view.quantity.convention}); {view.state}; "
        f"{len(view.complete)} of {len(view.trials)} networks scored{_stopped(view)} for "
        f"{short(spent(view.trials).training_macs)}MACs of training{_price(view)}"
    )


def _stopped(view: StudyView) -> str:
    count = sum(trial.state == "stopped" for trial in view.trials)
    return f", {count} stopped early," if count else ""


def _price(view: StudyView) -> str:
    price = race_text(view)
    return f"; {price}" if price else ""


def _cards(view: StudyView) -> Iterator[Card]:
    """The numbers to take away: the winner, its cost, its final accuracy against chance."""
    if view.best:
        score = view.scores[view.best.number]
        yield Card("winner", f"trial {view.best.number}", _clip(view.best.candidate))
        yield Card("cost", cost_text(view.best.candidate), _share(view, view.best))
        note = f"top-1, 95% {_interval(score)}; mean class accuracy {score.mean_class:.1%}"
        yield Card("choosing clips", f"{score.top1:.1%}", note)
    if view.final and view.final.score:
        score, p_value = view.final.score, view.final_p_value
        assert p_value is not None
        hits = (
            f"{view.final.hits} of {score.clips} clips, 95% {_interval(score)}; "
            f"mean class accuracy {score.mean_class:.1%}"
        )
        against = (
            f"{format_p(p_value)} against chance ({score.chance:.1%}, the largest class; "
            "exact binomial)"
        )
        note = f"{hits}; {against}; {view.final.measured_on}"
        yield Card("final training", f"{score.top1:.1%}", note, kind="final")
    elif view.final:
        yield Card("final training", "no score", view.final.training.reason or "")


def _share(view: StudyView, trial: Trial) -> str:
    params = trial.cost.get("params", 0)
    return (
        f"{trial.candidate.cost / view.budget:.0%} of the budget; {params / 1e6:.2f} M parameters"
    )


def _stage(view: StudyView, step: StepSummary) -> dict[str, Any]:
    """A step of the path: what it chose, and how sure that is."""
    choice = step.choice
    assert choice is not None, "a network of the step was trained"
    trial, score = choice.best, view.scores[choice.best.number]
    known = choice.sure is not None
    settled = choice.comparison is None or choice.comparison.resolved
    sure = f"best in {choice.sure:.0%} of resamples" if known else "too few clips to say how sure"
    alone = choice.runner_up is None
    return {
        "trial": trial.number,
        "when": f"step {step.offer.step}" if step.offer.step else "base",
        "what": label(trial.candidate),
        "score": f"{score.top1:.1%} top-1, log-loss {score.nll:.3f}",
        "cost": cost_text(trial.candidate),
        "percent": f"{100 * (choice.sure or 0):.0f}",
        "kind": "unknown" if alone or not known else "settled" if settled else "open",
        "sure": "the only network of its step"
        if alone
        else sure + ("" if settled or not known else ", not resolved"),
    }


def _step(view: StudyView, step: StepSummary) -> dict[str, Any]:
    """The heading, the candidates and the decision of one step."""
    offer = step.offer
    kinds = {candidate.digest: "kept" for candidate in step.kept}
    if step.winner:
        kinds[step.winner.digest] = "won"
    body = [
        Row.of(
            (
                label(candidate),
                _change(candidate, view.parent(candidate)),
                _clip(candidate),
                *_measured(view, candidate, trial),
            ),
            kinds.get(candidate.digest, ""),
            trial=trial.number if trial else None,
        )
        for candidate, trial in zip(offer.candidates, step.trials, strict=True)
    ]
    return {
        "heading": f"Step {offer.step}" if offer.step else "Base",
        "aim": f" near {offer.quantity.text(offer.target)}" if offer.step else "",
        "table": Table(("axis", "change", "clip", *MEASURED), tuple(body)),
        "decision": "; ".join(
            filter(None, (step.text.removeprefix(f"step {offer.step}: "), step.price_text))
        ),
        "open": step.pending,
        "exhausted": [f"{axis} offers nothing: {why}" for axis, why in offer.exhausted],
    }


def _facts(view: StudyView) -> dict[str, Any]:
    """The lines of provenance, and how often steps choose alike from scratch."""
    return {**view.facts, **({"Confirmed": view.confirmed} if view.confirmed else {})}


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


def _measured(view: StudyView, candidate: Candidate, trial: Trial | None) -> tuple[Cell, ...]:
    """The cells of the columns MEASURED."""
    score = view.scores.get(trial.number) if trial else None
    cost = number(cost_text(candidate))
    if score is None:
        why = trial.why if trial else "not finished"
        return cost, Cell(why, "none", span=3)
    return (
        cost,
        number(f"{score.top1:.1%} ({_interval(score)})"),
        number(f"{score.mean_class:.1%}"),
        number(f"{score.nll:.3f}"),
    )


def _frontier(view: StudyView) -> Table:
    on_path = set(view.path)
    body = [
        Row.of(
            (
                number(trial.number),
                view.origin(trial),
                _clip(trial.candidate),
                *_measured(view, trial.candidate, trial),
                "chosen" if trial.number in on_path else "",
            ),
            trial=trial.number,
        )
        for trial in view.frontier
    ]
    return Table(("trial", "from", "clip", *MEASURED, "path"), tuple(body))


def _baselines(view: StudyView) -> Table:
    """The published networks that were trained like the candidates."""
    body = [
        Row.of(
            (
                number(trial.number),
                view.names[trial.number],
                trial.candidate.genotype.family,
                _clip(trial.candidate),
                view.tested or "",
                PRETRAINING,
                number(f"{trial.cost['params'] / 1e6:.2f} M"),
                *_measured(view, trial.candidate, trial),
            ),
            trial=trial.number,
        )
        for trial in view.baselines
    ]
    columns = ("trial", "network", "family", "clip", "views", "pretraining", "parameters")
    return Table((*columns, *MEASURED), tuple(body))


def _confused(view: StudyView, scores: Sequence[ClipScore]) -> Table | None:
    """The classes that are confused most."""
    names = view.classes
    body = [
        Row.of((names[one.true], names[one.predicted], number(f"{one.clips} of {one.of}")))
        for one in confusions(scores)[:PAIRS]
        if max(one.true, one.predicted) < len(names)
    ]
    return Table(("class", "taken for", "clips"), tuple(body)) if body else None


def _unscored(view: StudyView) -> Table | None:
    """The trials without a score, each with the reason; the first of many."""
    found = [trial for trial in view.trials if trial.number not in view.scores]
    body = [
        Row.of((f"trial {t.number}", view.origin(t), Cell(t.why, "none")), trial=t.number)
        for t in found[:LISTED]
    ]
    if len(found) > LISTED:
        body.append(Row.of((f"and {len(found) - LISTED} more",)))
    return Table((), tuple(body)) if body else None


def _limit(answer: Answer) -> dict[str, str]:
    """An answer of `advise`, its sentence without the name that stands above it."""
    said = answer.sentence.removeprefix(f"{answer.what}: ")
    kind = {"yes": "yes", "no": "no", "cannot tell": ""}[answer.verdict]
    return {"what": answer.what, "kind": kind, "sentence": said}


def _interval(score: Summary) -> str:
    low, high = score.top1_ci
    return f"{low:.1%} to {high:.1%}"
