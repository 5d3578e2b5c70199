"""`make sanitize` finds planted faults; that there are none in the loops is its own business."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.sanitize import MISSING, SOURCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sound", "faulty", "said"),
    [
        (
            "store_(out + i, where_(v, v), count);",
            "store_(out + i, where_(v, v), 8);",
            "ERROR: AddressSanitizer",
        ),
        (
            "if (count >= 8) memcpy(&x, from, 32);",
            "if (count >= 8) x = *(const v8 *)from;",
            "misaligned address",
        ),
    ],
    ids=["a store beyond the end", "a load that is not aligned"],
)
def test_a_planted_fault_is_found(tmp_path: Path, sound: str, faulty: str, said: str) -> None:
    text = SOURCE.read_text()
    assert sound in text
    source = tmp_path / "kernels.c"
    source.write_text(text.replace(sound, faulty))
    command = [sys.executable, "tests/sanitize.py", "--cases", "3", "--source", str(source)]
    done = subprocess.run(command, cwd=SOURCE.parents[3], capture_output=True, text=True)
    if done.returncode == MISSING:
        pytest.skip(done.stderr.strip())
    assert done.returncode not in (0, MISSING) and said in done.stderr
