"""Tables for people: rich in a terminal, wide enough for every digit elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

#: Columns of a table that goes to a file or a pipe, where nobody's window is the limit.
PIPE_WIDTH = 160


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    caption: str | None = None,
) -> None:
    """Print `rows` under `columns`; the first and those in `numbers` are never cut or wrapped."""
    from rich import box
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        right = name in numbers
        whole = right or name == columns[0]
        side: JustifyMethod = "right" if right else "left"
        table.add_column(name, justify=side, no_wrap=whole, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
    for part in (Text(title), table, *([Text(caption)] if caption else [])):
        console.print(part)
