"""Templates: what they are filled with is escaped, and what they lack is an error."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import jinja2
import pytest

from expand3d.report.markup import Card, Cell, Row, Table, number, render

ODD = "<i>&\"'"
SVG = '<?xml version="1.0"?>\n<svg><g id="a"/></svg>\n'


class Texts(HTMLParser):
    """The texts of a page by the tag that they stand in, and the tags it has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.found: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.found.setdefault(self.tags[-1] if self.tags else "", []).append(data)


def page(**values: object) -> str:
    table = Table((ODD,), (Row.of([ODD, number(ODD), Cell(ODD, "none", span=2)], "won"),))
    shown = {
        "title": ODD,
        "lead": ODD,
        "cards": [Card(ODD, ODD, ODD), Card("a", "b", "c", kind="final")],
        "studies": table,
        "notes": [ODD],
        "facts": table,
    }
    return render("compare.html.j2", svg=SVG, **{**shown, **values})


def test_every_text_is_escaped_and_the_picture_is_not() -> None:
    text = page()
    assert "<i>" not in text and "<?xml" not in text.split("<svg>")[0]
    assert '<figure><svg><g id="a"/></svg>\n</figure>' in text
    texts = Texts()
    texts.feed(text)
    assert "i" not in texts.tags
    for tag in ("h1", "th", "td", "li", "span", "strong", "small"):
        assert ODD in "".join(texts.found[tag]), tag


def test_cells_carry_kind_and_span_and_stand_side_by_side() -> None:
    row = Row.of(["a", number(1), Cell("b", "none", span=2)])
    text = page(studies=Table((), (row,)))
    cells = '<tr><td>a</td><td class="number">1</td><td colspan="2" class="none">b</td></tr>'
    assert cells in text
    assert '<div class="card final"><span>a</span><strong>b</strong><small>c</small></div>' in text


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="lead"):
        render("study.html.j2", svg=SVG, title="a")


def test_jinja2_is_loaded_when_a_page_is_written_and_not_before() -> None:
    code = (
        "import sys\n"
        "import expand3d.report.study.write, expand3d.report.compare.write\n"
        "import expand3d.report.published.write\n"
        "sys.exit('jinja2' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
