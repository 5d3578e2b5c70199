"""The page of a study in a real browser: it answers mouse and keys, and complains of nothing."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from expand3d.report.study.page import page_text
from expand3d.report.study.thumbnails import Thumbnails
from expand3d.report.study.view import StudyView, load_view
from tests.helpers import ROOT
from tests.helpers.browser import Browser, browser
from tests.helpers.studies import expanded, with_curves

pytestmark = pytest.mark.slow

ODD = '"><script>window.broken = true</script><img src=x onerror="window.broken = true">'
FROZEN = ROOT / "tests/assets/records/v0.1"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.fixture(scope="module")
def view() -> StudyView:
    return with_curves(expanded("0.1GFLOPs", clips=60))


@pytest.fixture(scope="module")
def page(view: StudyView, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(page_text(view)[0], encoding="utf-8")
    return path


def shown(tab: Browser) -> str:
    found: str = tab.value("document.querySelector('#detail h3').textContent")
    return found


@pytest.fixture
def opened(tab: Browser, page: Path) -> Browser:
    tab.complaints.clear()
    tab.requests.clear()
    tab.open("about:blank")
    tab.open(page.as_uri())
    tab.until("document.querySelectorAll('#frontier .dot').length > 3")
    tab.until("document.querySelectorAll('#detail svg polyline').length")
    return tab


def test_it_loads_nothing_else_and_has_no_complaint(opened: Browser) -> None:
    assert opened.complaints == []
    outside = [url for url in opened.requests if not url.startswith(("file:", "data:", "about:"))]
    assert outside == []


def test_a_click_shows_the_curve_the_classes_and_the_wrong_clips(
    opened: Browser, view: StudyView, tmp_path: Path
) -> None:
    other = next(t for t in view.frontier if view.best and t.number != view.best.number)
    assert shown(opened) == f"Trial {view.best.number}" if view.best else ""
    # Of several at one place the nearest answers; the dots themselves are where it is looked for.
    opened.click(f"#frontier .dot[data-number='{other.number}'] .mark")
    opened.until(f"document.querySelector('#detail h3').textContent === 'Trial {other.number}'")
    opened.until("document.querySelector('#detail [data-curve=accuracy] polyline')")
    points = opened.value(
        "document.querySelector('#detail [data-curve=accuracy] polyline').points.numberOfItems"
    )
    assert points == 3, "a point an epoch"
    said = opened.value("document.getElementById('detail').textContent")
    score = view.scores[other.number]
    assert f"{score.top1:.1%}" in said and "Wrong clips" in said and "hand shaking" in said
    assert opened.value("location.hash").startswith(f"#trial={other.number}&")
    assert opened.picture(tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert opened.complaints == []


def test_what_the_mouse_points_at_is_told(opened: Browser, view: StudyView) -> None:
    assert opened.value("document.getElementById('tip').hidden")
    opened.hover("#frontier .dot[data-number='0'] .mark")
    opened.until("!document.getElementById('tip').hidden")
    said = opened.value("document.getElementById('tip').textContent")
    assert said.startswith("trial 0: step 0, base") and f"{view.scores[0].top1:.1%}" in said
    opened.press("Escape")
    opened.until("document.getElementById('tip').hidden")


def test_keys_walk_from_network_to_network(opened: Browser, view: StudyView) -> None:
    by_cost = [t.number for t in sorted(view.complete, key=lambda t: (t.candidate.cost, t.number))]
    opened.value("document.querySelector('#frontier .dot[data-number=\"0\"]').focus()")
    for number in by_cost[1:4]:
        opened.press("ArrowRight")
        opened.until(f"document.querySelector('#detail h3').textContent === 'Trial {number}'")
    opened.press("ArrowLeft")
    opened.until(f"document.querySelector('#detail h3').textContent === 'Trial {by_cost[2]}'")


def test_a_row_and_a_card_lead_to_their_network(opened: Browser, view: StudyView) -> None:
    first = view.path[0]
    opened.click(f".way-of-steps [data-trial='{first}']")
    opened.until(f"document.querySelector('#detail h3').textContent === 'Trial {first}'")
    opened.value("document.querySelector('.way-of-steps li:last-child').focus()")
    opened.press("Enter")
    opened.until(f"document.querySelector('#detail h3').textContent === 'Trial {view.path[-1]}'")


def test_accuracy_or_loss_and_the_choice_outlives_a_reload(opened: Browser, page: Path) -> None:
    opened.click("[data-measure=loss]")
    opened.until("location.hash.endsWith('curves=loss')")
    opened.click(".way-of-steps li")
    kept = shown(opened)
    opened.value("location.reload()")
    opened.until("document.querySelector('[data-measure=loss]').ariaPressed === 'true'")
    assert shown(opened) == kept


@pytest.mark.parametrize(
    ("width", "dark", "paper"), list(itertools.product((1280, 400), (False, True), (False, True)))
)
def test_it_fits_every_screen(opened: Browser, width: int, dark: bool, paper: bool) -> None:
    opened.media(dark=dark, paper=paper)
    opened.size(width, 900)
    opened.until(f"innerWidth === {width}")
    # Tables scroll in a box of their own.
    opened.until("document.documentElement.scrollWidth <= innerWidth")
    ground = opened.value("getComputedStyle(document.body).backgroundColor")
    light = ground in ("rgb(246, 247, 249)", "rgb(255, 255, 255)")
    assert light == (paper or not dark), ground
    opened.media()
    assert opened.complaints == []


def test_names_that_are_scripts_do_nothing(tab: Browser, view: StudyView, tmp_path: Path) -> None:
    trials = tuple(
        dataclasses.replace(
            trial,
            trainings={
                key: dataclasses.replace(
                    run, scores=tuple(s._replace(key=ODD + s.key) for s in run.scores)
                )
                for key, run in trial.trainings.items()
            },
        )
        for trial in view.trials
    )
    names = tuple(ODD + name for name in view.classes)
    odd = dataclasses.replace(
        view, name=ODD, classes=names, trials=trials, steps=(), best=trials[view.path[-1]]
    )
    path = tmp_path / "odd.html"
    path.write_text(page_text(odd)[0], encoding="utf-8")
    tab.complaints.clear()
    tab.open(path.as_uri())
    tab.until("document.querySelectorAll('#detail .clips li').length")
    tab.click("#frontier .dot[data-number='0'] .mark")
    assert tab.value("window.broken") is None
    assert tab.value("document.querySelector('h1').textContent") == ODD
    assert tab.complaints == []


@pytest.mark.parametrize("name", ["finished", "killed", "sampled", "empty"])
def test_every_record_has_a_page(name: str, tab: Browser, tmp_path: Path) -> None:
    view = load_view("finished" if name == "empty" else name, root=FROZEN / "studies")
    assert view.config is not None
    here = dataclasses.replace(view.config, data=str(FROZEN / "videos/manifest.csv"))
    view = dataclasses.replace(view, config=here)
    if name == "empty":
        view = dataclasses.replace(view, trials=(), steps=(), best=None, final=None)
    path = tmp_path / "page.html"
    path.write_text(page_text(view, thumbnails=Thumbnails(view))[0], encoding="utf-8")
    tab.complaints.clear()
    tab.open(path.as_uri())
    tab.until("document.querySelector('#detail').childElementCount")
    tab.until(f"document.querySelectorAll('#frontier .dot[role]').length === {len(view.complete)}")
    assert tab.complaints == []
