"""The comparison of studies as one HTML file: the picture, a row per study, how it was counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from expand3d.core.files import write_whole
from expand3d.core.result import TRAINING_FACTOR
from expand3d.cost.figures import short
from expand3d.cost.price import cost_text
from expand3d.report.compare.comparison import ComparedStudy, StudyComparison
from expand3d.report.markup import Card, Cell, Row, Table, number, render

COLUMNS = (
    "study",
    "strategy",
    "family",
    "seed",
    "budget",
    "networks",
    "training",
    "time",
    "hypervolume",
    "at equal training",
    "best top-1 (95%)",
    "mean class",
    "log-loss",
    "cost",
    "state",
)
#: What a study's own report says of its provenance and studies may differ in.
FACTS = ("Data", "Training of a candidate", "Estimate", "Device", "Versions")


def save_comparison_page(comparison: StudyComparison, path: Path, *, svg: str) -> Path:
    """`path`, which now holds the page with `svg` (the picture's text) inside it."""
    studies = comparison.studies
    facts = [Row.of((s.name, *(s.view.facts.get(key, "–") for key in FACTS))) for s in studies]
    text = render(
        "compare.html.j2",
        svg=svg,
        title=_title([study.name for study in studies]),
        lead=_lead(comparison),
        cards=list(_cards(comparison)),
        studies=Table(COLUMNS, tuple(_row(study, comparison) for study in studies)),
        notes=list(_notes(comparison)),
        facts=Table(("study", *FACTS), tuple(facts)),
    )
    return write_whole(path, text)


def _title(names: Sequence[str]) -> str:
    few = f"{', '.join(names[:-1])} and {names[-1]}"
    return few if len(names) <= 3 else f"{len(names)} studies"


def _lead(comparison: StudyComparison) -> str:
    lead = (
        f"{len(comparison.studies)} studies, every network scored on the same {comparison.clips} "
        f"validation clips of {len(comparison.first.classes)} classes"
    )
    return f"{lead}; {comparison.unlike}" if comparison.unlike else f"{lead}, trained alike"


def _cards(comparison: StudyComparison) -> Iterator[Card]:
    """Numbers to take away: the lead at equal training, in the end, in top-1; the resolution."""
    equal = comparison.equal_training
    then = max(comparison.studies, key=lambda study: study.hypervolume_at(equal))
    end = max(comparison.studies, key=lambda study: study.end.hypervolume)
    yield Card(
        "most hypervolume at equal training",
        then.name,
        f"{then.hypervolume_at(equal):.4f} after {short(equal)}MACs or less",
    )
    yield Card(
        "most hypervolume in the end",
        end.name,
        f"{end.end.hypervolume:.4f} after {short(end.end.training_macs)}MACs",
    )
    won = [(study, study.view.best) for study in comparison.studies]
    tops = [(study.view.scores[best.number], study, best) for study, best in won if best]
    if tops:
        score, study, best = max(tops, key=lambda item: item[0].top1)
        yield Card("best winner", f"{score.top1:.1%}", f"{study.name}, {cost_text(best.candidate)}")
    yield Card(
        "can be resolved",
        f"{100 * comparison.resolution.top1:.0f} points",
        f"of top-1 between two networks, on {comparison.clips} clips",
    )


def _row(study: ComparedStudy, comparison: StudyComparison) -> Row:
    view, best = study.view, study.view.best
    cells: list[Cell | str] = [
        study.name,
        study.strategy,
        view.family,
        number(view.config.seed if view.config else "–"),
        number(view.budget_text),
        number(f"{len(view.asked)} ({len(study.scored)} scored)"),
        number(f"{short(study.end.training_macs)}MACs"),
        number(f"{study.spent.seconds:,.0f} s"),
        number(f"{study.end.hypervolume:.4f}"),
        number(f"{study.hypervolume_at(comparison.equal_training):.4f}"),
    ]
    if best:
        score = view.scores[best.number]
        low, high = score.top1_ci
        cells += [
            number(f"{score.top1:.1%} ({low:.1%} to {high:.1%})"),
            number(f"{score.mean_class:.1%}"),
            number(f"{score.nll:.3f}"),
            number(_cost(study)),
        ]
    else:
        cells.append(Cell("no network within the budget has a score", "none", span=4))
    return Row.of([*cells, view.state])


def _cost(study: ComparedStudy) -> str:
    """The winner's cost in what the budgets count, and its multiply-adds."""
    quantity, best = study.view.quantity, study.view.best
    assert best is not None
    told = cost_text(best.candidate)
    amount = quantity.text(best.candidate.cost)
    return told if amount in told else f"{amount}, {told}"


def _notes(comparison: StudyComparison) -> Iterator[str]:
    """Sentences that a reader has to know, the first thing first."""
    view = comparison.first
    if comparison.unlike:
        yield f"{comparison.unlike}: such differences are mixed with those of the strategies."
    yield comparison.resolution.text
    yield (
        "Every winner was chosen on these same clips, so its top-1 is optimistic, the more so the "
        "more networks its study tried. The report of a single study has the accuracy on clips "
        "that were never used for choosing, where there is a test part."
    )
    yield (
        f"Hypervolume is accuracy x decades of {view.quantity.noun}, up to chance "
        f"({view.chance:.1%}) and twice the largest budget "
        f"({view.quantity.text(comparison.reference.cost)}), the same for all studies. "
        "Chance is the accuracy of always saying the largest class."
    )
    yield (
        f"Training is counted in multiply-adds, {TRAINING_FACTOR} times those of the forward pass "
        "for every clip that a training saw, over all folds and seeds, trial by trial in the order "
        "of their numbers. Equal training is the least that a study took, "
        f"{short(comparison.equal_training)}MACs: beyond it that study has nothing to compare. "
        "Tests, the winner's last training, and published networks that were trained beside the "
        "search do not count."
    )
    lost = [f"{study.name}: {study.uncounted}" for study in comparison.studies if study.uncounted]
    if lost:
        yield (
            "Networks that failed without a count of the clips that they had seen, so that their "
            f"study took more than is shown: {', '.join(lost)}."
        )
