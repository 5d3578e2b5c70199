"""Compiles the kernels that a training launches for a GPU of compute capability 9.0, without one.

    python -m tests.helpers.sm90

Prints a line per kernel: its name, registers a thread and bytes of stack. Stack means that values
do not fit the registers.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from expand3d.networks.ops import triton as ops_triton

TYPES = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}


class Compiler:
    """Takes a kernel's place: compiles what would be launched and computes nothing."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, int]) -> Callable[..., None]:
        return self._compile

    def _compile(self, *args: Any, num_warps: int, **constants: Any) -> None:
        names = self.kernel.arg_names
        given = dict(zip(names, args, strict=False)) | constants
        annotated = {p.name for p in self.kernel.params if p.is_constexpr}
        pointers = {name: v for name, v in given.items() if isinstance(v, torch.Tensor)}
        signature = {
            name: TYPES[pointers[name].dtype]
            if name in pointers
            else ("constexpr" if name in annotated else "i32")
            for name in names
        }
        aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n in pointers}
        source = ASTSource(
            self.kernel, signature, {name: given[name] for name in annotated}, attrs=aligned
        )
        target = GPUTarget("cuda", 90, 32)
        compiled = triton.compile(source, target=target, options={"num_warps": num_warps})
        print(self.kernel.__name__, *_usage(compiled.asm["cubin"]))


def _usage(cubin: bytes) -> tuple[int, int]:
    """Registers a thread and bytes of stack, as cuobjdump reads them."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool, "-res-usage", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr
    registers, stack = re.search(r"REG:(\d+)", text), re.search(r"STACK:(\d+)", text)
    assert registers and stack, text
    return int(registers[1]), int(stack[1])


def main() -> None:
    for name in ("_convolve", "_strided_input_gradient", "_weight_gradient"):
        setattr(ops_triton, name, Compiler(getattr(ops_triton, name)))
    for channels, kernel, stride in ((54, (3, 3, 3), 1), (54, (3, 3, 3), 2), (24, (5, 1, 1), 1)):
        x = torch.empty(1, channels, 4, 8, 8, dtype=torch.bfloat16)
        weight = torch.empty(channels, 1, *kernel)
        grad = ops_triton.convolve(x, weight, stride)
        if stride == 2:
            ops_triton.input_gradient(grad, weight, (8, 8), stride)
        ops_triton.weight_gradient(grad, x, weight, stride)


if __name__ == "__main__":
    main()
