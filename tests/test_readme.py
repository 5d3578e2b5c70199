"""The README's Python runs as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), scope)
    # X3D-XS: widths 24 to 192, blocks 3, 5, 11, 7, 0.605257 GMACs. What is done once per clip is
    # lin5 (432 x 2048), the classifier (2048 x 400) and SE (158,976); the rest grows by 6 / 4.
    once = 432 * 2048 + 158_976
    macs = (605_256_512 - once - 2048 * 400) * 6 / 4 + once + 2048 * 10
    assert round(macs / 1e9, 3) == 0.906
    assert capsys.readouterr().out == "(24, 48, 96, 192) (3, 5, 11, 7) 0.906 GMACs\n"
    import torch

    network = scope["network"]
    assert isinstance(network, torch.nn.Module)
    assert network.eval()(torch.zeros(1, 3, 6, 64, 64)).shape == (1, 10)
