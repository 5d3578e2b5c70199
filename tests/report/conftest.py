"""Studies and a table of which several reports are made, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from expand3d.report.tabular.write import write_table
from tests.helpers.made_table import made_record


@pytest.fixture(scope="session")
def made_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a table, which no test writes to; its record lies beside it."""
    root = tmp_path_factory.mktemp("made")
    write_table(made_record(root), root / "table")
    return root / "table"
