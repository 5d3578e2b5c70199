"""The compiled loops under AddressSanitizer and UBSan, over random shapes: `make sanitize`.

kernels.c is built anew with GCC's sanitizers, and a process that preloads their runtime trains and
tests X3D's parts with it. The first fault ends that process and is printed with its line of C.
Exits 0 where there was none, 1 where there was, 77 where GCC or its sanitizers are not installed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "expand3d/networks/ops/kernels.c"
FLAGS = (
    *("-shared", "-fPIC", "-g", "-O1", "-fno-omit-frame-pointer", "-Wno-psabi"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
MISSING = 77
#: Python keeps what it has taken to its end; and where memory runs out, the loops say so.
OPTIONS = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"


def runtime(compiler: str) -> list[str]:
    """The sanitizers' libraries, those that the compiler has."""
    found = []
    for name in ("libasan.so", "libubsan.so"):
        command = [compiler, f"-print-file-name={name}"]
        path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if os.path.isabs(path):
            found.append(path)
    return found


def sanitized(source: Path, cases: int, seed: int) -> int:
    """The exit status of a process that runs the loops of `source` under the sanitizers."""
    compiler = shutil.which("gcc")
    preloaded = runtime(compiler) if compiler else []
    if compiler is None or len(preloaded) < 2:
        print("gcc with AddressSanitizer and UBSan is not installed", file=sys.stderr)
        return MISSING
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernels.so"
        headers = sysconfig.get_paths()["include"]
        command = [compiler, *FLAGS, f"-I{headers}", str(source), "-o", str(library), "-lpthread"]
        subprocess.run(command, check=True)
        environment = {
            **os.environ,
            "LD_PRELOAD": ":".join(preloaded),
            "ASAN_OPTIONS": OPTIONS,
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": str(ROOT),
            "PYTHONMALLOC": "malloc",
        }
        run = [sys.executable, __file__, "--library", str(library)]
        words = ["--cases", str(cases), "--seed", str(seed)]
        return subprocess.run([*run, *words], env=environment).returncode


def shapes(cases: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Clips, channels, frames, height and width: odd ones, single ones, and some of many rows."""
    draw = random.Random(seed)
    for case in range(cases):
        side = draw.choice((3, 9, 30)) if case % 5 else 1
        size = draw.randint(1, 5), draw.randint(1, side), draw.randint(1, side)
        yield draw.randint(2, 5), draw.randint(1, 40), *size


def exercise(library: Path, cases: int, seed: int) -> None:
    """Every loop over random shapes, forward and backward, by one thread and by several."""
    import torch
    from torch import nn

    from expand3d.networks.families.x3d_net import Bottleneck
    from expand3d.networks.ops import compiled, x3d_block
    from expand3d.networks.ops.conv import ChannelwiseConv3d

    loaded, openmp = ctypes.CDLL(str(library)), compiled._openmp()
    called: set[str] = set()

    class Called:
        """The library, which remembers what was asked of it."""

        def __getattr__(self, name: str) -> object:
            called.add(name)
            return getattr(loaded, name)

    compiled.library = lambda: Called()  # type: ignore[assignment]
    compiled.SHARED = 1  # the smallest batch is shared among threads, too
    draw = random.Random(seed + 1)
    torch.manual_seed(seed)
    for shape in shapes(cases, seed):
        torch.set_num_threads(draw.choice((1, 2, 3)))
        threads = draw.choice((openmp, None))  # torch's, and new ones
        compiled._openmp = lambda chosen=threads: chosen  # type: ignore[assignment, misc]
        width, first = draw.randint(1, 40), draw.random() < 0.5
        se_width = draw.choice((None, 1, 8, 9))
        channels = shape[1]
        block = Bottleneck(
            channels, width, channels, first=first, se_width=se_width, shortcut_bn=True
        )
        over_time = ChannelwiseConv3d(channels, (draw.choice((1, 3, 5, 7)), 1, 1))
        norm = nn.BatchNorm3d(channels)
        x = torch.randn(shape, requires_grad=True)
        y = block(x3d_block.norm_relu(over_time(x), norm))
        y.backward(torch.randn_like(y))
        # Far from the origin, where moments are taken twice.
        x3d_block.norm_relu(x + 100.0, norm).sum().backward()
        with torch.no_grad():
            block.eval()(x3d_block.norm_relu(over_time(x), norm.eval()))
        assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all(), shape
    loops = {line.split("LOOP(")[1].split(")")[0] for line in _lines() if line.startswith("LOOP(")}
    assert called == {*loops, "share"}, f"never called: {loops - called}"
    print(f"{cases} random shapes, {len(loops)} loops: no fault")


def _lines() -> list[str]:
    return SOURCE.read_text().splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="random shapes (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of shapes and numbers")
    parser.add_argument("--source", type=Path, default=SOURCE, help="the C file")
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.library:
        exercise(args.library, args.cases, args.seed)
        return 0
    return sanitized(args.source, args.cases, args.seed)


if __name__ == "__main__":
    sys.exit(main())
