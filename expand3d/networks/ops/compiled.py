"""The compiled loops of `kernels.c`: whether they are here, and how they are called.

The wheel carries them, and so does an installation from source where there is a C compiler;
without them plain torch computes the same (`x3d_block_torch`). EXPAND3D_KERNELS=off leaves them
unused.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: Fewer numbers than this are not shared among threads: waking one takes as long.
SHARED = 2**15


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None where they were not built or are switched off."""
    if os.environ.get("EXPAND3D_KERNELS") == "off":
        return None
    found = importlib.util.find_spec("expand3d.networks.ops._kernels")
    if found is None or found.origin is None:
        return None
    try:
        return ctypes.CDLL(found.origin)
    except OSError:  # built for another machine
        return None


def available() -> bool:
    """True where the loops can be called here."""
    return library() is not None


def call(name: str, *arguments: Tensor | None, clips: int, sizes: tuple[int, ...]) -> None:
    """Run a loop over a batch of `clips`, which torch's number of threads share.

    Tensors of five dimensions are channels-last, others contiguous; None is a null pointer. Nothing
    runs on torch's meta device, where only shapes and what is kept count. MemoryError where there
    is none for what a loop needs of its own.
    """
    tensors = [each for each in arguments if each is not None]
    if any(each.is_meta for each in tensors):
        return
    assert all(_dense(each) for each in tensors), name
    loaded = library()
    assert loaded is not None
    pointers = [each.data_ptr() if each is not None else None for each in arguments]
    many = max(each.numel() for each in tensors) >= SHARED
    if loaded.share(
        getattr(loaded, name),
        (ctypes.c_void_p * len(pointers))(*pointers),
        (ctypes.c_long * len(sizes))(*sizes),
        ctypes.c_long(clips),
        ctypes.c_long(torch.get_num_threads() if many else 1),
        _openmp(),
    ):
        raise MemoryError(f"no memory for {name}")


def _dense(x: Tensor) -> bool:
    """True where a loop that walks through memory meets the numbers of `x` in its order."""
    layout = torch.channels_last_3d if x.dim() == 5 else torch.contiguous_format
    return x.is_contiguous(memory_format=layout)


@functools.cache
def _openmp() -> Any:
    """The entry point of the OpenMP that is loaded, whose threads torch's operators run in.

    None where the process has none, or the system does not say what is loaded.
    """
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None
    for path in dict.fromkeys(line.split(maxsplit=5)[-1] for line in lines):
        if re.fullmatch(r"lib(gomp|i?omp5?)\b.*\.so.*", Path(path).name):
            entry = getattr(ctypes.CDLL(path), "GOMP_parallel", None)
            if entry is not None:
                return ctypes.cast(entry, ctypes.c_void_p)
    return None
