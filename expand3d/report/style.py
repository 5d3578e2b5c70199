"""The page's frame and its style sheet."""

from __future__ import annotations

from string import Template

CSS = """\
:root { --ink: #22272e; --muted: #6b7480; --line: #e3e7eb; --path: #d55e00; --final: #007a5a; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 44px 0 12px; }
h3 { font-size: 15px; margin: 26px 0 8px; }
h3 em { font-style: normal; font-weight: 400; color: var(--muted); }
.lead { color: var(--muted); margin: 0 0 24px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); gap: 12px; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.card span { color: var(--muted); font-size: 12.5px; display: block; }
.card strong { font-size: 24px; display: block; line-height: 1.3; }
.card small { color: var(--muted); display: block; font-size: 12.5px; line-height: 1.4; }
.card.final { border-color: var(--final); }
.card.final strong { color: var(--final); }
figure { margin: 20px 0 0; background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 8px; }
figure svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { text-align: left; padding: 7px 12px; border-top: 1px solid var(--line); }
thead tr:first-child th { border-top: 0; }
thead:not(:has(th)) + tbody tr:first-child td { border-top: 0; }
th { color: var(--muted); font-weight: 500; font-size: 12.5px; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.none { color: var(--muted); font-style: italic; }
tr.won td { background: #fdf3ec; }
tr.kept td:first-child { box-shadow: inset 3px 0 0 var(--path); }
tr.won td:first-child { font-weight: 650; color: var(--path);
  box-shadow: inset 3px 0 0 var(--path); }
.decision, ul { color: var(--muted); font-size: 13.5px; margin: 8px 2px 0; }
footer { color: var(--muted); font-size: 12.5px; margin-top: 48px; }
@media print { body { background: #fff; } h3, tr, figure { break-inside: avoid; } }
"""

WIDE_CSS = CSS.replace("1060px", "1400px")


def page(title: str, main: str, *, css: str = CSS) -> Template:
    """A page under `title` as a template; `main` follows the heading."""
    return Template(
        f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - expand3d</title>
<style>
{css}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{main}</main>
</body>
</html>
"""
    )


PAGE = page(
    "$title",
    """\
<p class="lead">$lead</p>
<section class="cards">$cards</section>
<figure>$svg</figure>
<h2>Steps</h2>
$steps
<h2>Frontier</h2>
$frontier
$baselines
$unscored
<h2>Provenance</h2>
$facts
<footer>Written by expand3d. Intervals of top-1 are Wilson's; log-loss is in nats.</footer>
""",
)
