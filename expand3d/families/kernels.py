"""The compiled loops of `kernels.c`: whether they are here, and how they are called.

The wheel carries them, and so does an installation from source where there is a C compiler;
without them plain torch computes the same (expand3d.families.ops_fused). EXPAND3D_KERNELS=off
leaves them unused.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

#: Fewer numbers than this are not shared among threads: waking one takes as long.
SHARED = 2**17


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; None where they were not built or are switched off."""
    if os.environ.get("EXPAND3D_KERNELS") == "off":
        return None
    found = importlib.util.find_spec("expand3d.families._kernels")
    if found is None or found.origin is None:
        return None
    try:
        return ctypes.CDLL(found.origin)
    except OSError:  # built for another machine
        return None


def available() -> bool:
    """Whether the loops can be called here."""
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
    function = getattr(loaded, name)
    pointers = [ctypes.c_void_p(each.data_ptr() if each is not None else 0) for each in arguments]
    lengths = [ctypes.c_long(size) for size in sizes]

    def run(first: int, last: int) -> None:
        if function(*pointers, ctypes.c_long(first), ctypes.c_long(last), *lengths):
            raise MemoryError(f"no memory for {name}")

    threads = min(torch.get_num_threads(), clips)
    if threads == 1 or max(each.numel() for each in tensors) < SHARED:
        run(0, clips)
        return
    ends = [clips * part // threads for part in range(threads + 1)]
    others = [_pool(threads).submit(run, *ends[part : part + 2]) for part in range(1, threads)]
    run(*ends[:2])
    for other in others:
        other.result()


def _dense(x: Tensor) -> bool:
    """Whether a loop that walks through memory meets the numbers of `x` in its order."""
    layout = torch.channels_last_3d if x.dim() == 5 else torch.contiguous_format
    return x.is_contiguous(memory_format=layout)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="expand3d-kernels")
