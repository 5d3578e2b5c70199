"""Channel-wise 3D convolution and its two gradients as Triton kernels, for an NVIDIA GPU.

Memory is channels-last: N x T x H x W rows of C channels. A program owns some positions of a frame,
over all clips, and a block of channels, and walks along the frames. A frame that is read goes into
the sums of all the output frames that it touches, and a value into those of its neighbours along
the width, so that little is read or unpacked twice. Sums are float32, whatever is stored.

No program adds to what another one writes and no launch depends on a timing: the same tensors give
the same bits. Import this module only where Triton is installed; expand3d.networks.ops.gpu does.
"""

# Kernels are written in Triton's language: their arguments have no Python types, and tuples grow.
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 4
#: Two channels a thread: 27 weights and the sums then fit its registers (127 to 168 on sm_90).
VALUES = 2 * 32 * WARPS
#: Programs of a weight gradient, each of which leaves one partial sum: as many as an H200 holds.
WEIGHT_PROGRAMS = 512


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """N x C x T x H' x W', channels-last: `x` convolved, padded so that only `stride` shrinks it.

    `x` is channels-last in float32, float16 or bfloat16; `weight` is C x 1 x KT x KH x KW of odd
    numbers, in any floating type; the stride is (1, stride, stride).
    """
    kernel = weight.shape[2:]
    out = _empty(x, [_strided(side, stride) for side in x.shape[3:]])
    _convolve[_grid(out, run := _run(out, stride))](
        x,
        _taps(weight),
        out,
        *_sizes(x, out, run),
        *kernel,
        STRIDE=stride,
        **_tile(x, run),
    )
    return out


def input_gradient(grad: Tensor, weight: Tensor, sides: tuple[int, int], stride: int) -> Tensor:
    """N x C x T x H x W, channels-last: the gradient of an input whose frames are of `sides`.

    Stride 2 is for 3x3 kernels; at stride 1 it is the convolution with the mirrored kernel.
    """
    if stride == 1:
        return convolve(grad, weight.flip(2, 3, 4), 1)
    assert stride == 2 and weight.shape[3:] == (3, 3)
    out = _empty(grad, sides)
    _strided_input_gradient[_grid(grad, 1)](
        grad,
        _taps(weight),
        out,
        *_sizes(out, grad, 1),
        weight.shape[2],
        **_tile(grad, 1),
    )
    return out


def weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient of `weight`, in its shape and type: partial sums, then the sum of those."""
    channels, taps = len(weight), weight[0].numel()
    run = 2  # more would take more registers than a full machine leaves
    tiles, blocks = _grid(grad, run)
    steps = triton.cdiv(tiles, max(1, WEIGHT_PROGRAMS // blocks))
    programs = triton.cdiv(tiles, steps)
    partial = x.new_empty((programs, taps, channels), dtype=torch.float32)
    _weight_gradient[(programs, blocks)](
        grad,
        x,
        partial,
        steps,
        *_sizes(x, grad, run),
        *weight.shape[2:],
        STRIDE=stride,
        **_tile(x, run),
    )
    return partial.sum(0).t().reshape(weight.shape).to(weight.dtype)


def _strided(side: int, stride: int) -> int:
    return (side - 1) // stride + 1


def _empty(x: Tensor, sides: Any) -> Tensor:
    shape = (*x.shape[:3], *sides)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)


def _taps(weight: Tensor) -> Tensor:
    """Taps x C in float32: the channels of one tap lie side by side."""
    return weight.flatten(1).t().float().contiguous()


def _run(out: Tensor, stride: int) -> int:
    """Outputs along the width that share what a thread reads."""
    return 4 if stride == 1 and out.shape[4] % 4 == 0 else 2


def _positions(out: Tensor, run: int) -> int:
    return out.shape[0] * out.shape[3] * triton.cdiv(out.shape[4], run)


def _block(channels: int) -> int:
    return 64 if channels > 32 else 32


def _grid(out: Tensor, run: int) -> tuple[int, int]:
    block = _block(out.shape[1])
    return triton.cdiv(_positions(out, run), VALUES // block), triton.cdiv(out.shape[1], block)


def _sizes(x: Tensor, out: Tensor, run: int) -> tuple[int, ...]:
    """Positions, T, H, W, output H and W, and vectors of channels, as the kernels take them."""
    return (_positions(out, run), *x.shape[2:], *out.shape[3:], x.shape[1] // _vector(x))


def _vector(x: Tensor) -> int:
    return 2 if x.shape[1] % 2 == 0 else 1


def _tile(x: Tensor, run: int) -> dict[str, int]:
    block = _block(x.shape[1])
    tile = {"P": VALUES // block, "B": block, "VECTOR": _vector(x), "num_warps": WARPS}
    return tile if run == 1 else {**tile, "RUN": run}


#: Sizes differ from network to network: specialised, each would compile a kernel of its own.
_SIZES = ["positions", "steps", "T", "H", "W", "HO", "WO", "C_VECTORS"]


@triton.jit(do_not_specialize=[name for name in _SIZES if name != "steps"])
def _convolve(
    x,
    taps,
    y,
    positions,
    T,
    H,
    W,
    HO,
    WO,
    C_VECTORS,
    KT: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    STRIDE: tl.constexpr,
    RUN: tl.constexpr,
    P: tl.constexpr,
    B: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Positions are runs of outputs along the width; sums[j * RUN + i]: frame t - KT//2 + j."""
    COLUMNS: tl.constexpr = (RUN - 1) * STRIDE + KW  # that a run reads
    C = C_VECTORS * VECTOR  # so that the compiler knows how rows are aligned
    c = tl.program_id(1) * B + tl.arange(0, B)
    p = tl.program_id(0) * P + tl.arange(0, P)
    inside, known = p < positions, c < C
    runs = (WO + RUN - 1) // RUN
    n, h, w = (p // (HO * runs)).to(tl.int64), p // runs % HO, p % runs * RUN
    top, left = h * STRIDE - KH // 2, w * STRIDE - KW // 2
    source = x + (((n * T * H + top) * W + left) * C)[:, None] + c[None, :]
    target = y + (((n * T * HO + h) * WO + w) * C)[:, None] + c[None, :]
    weights = ()
    for tap in tl.static_range(KT * KH * KW):
        weights += (tl.load(taps + tap * C + c, mask=known, other=0.0)[None, :],)
    zero = tl.zeros((P, B), tl.float32)
    sums = (zero,) * (KT * RUN)
    for t in range(T + KT // 2):
        if t < T:
            values = ()
            for kh in tl.static_range(KH):
                row = inside & (top + kh >= 0) & (top + kh < H)
                for column in tl.static_range(COLUMNS):
                    seen = row & (left + column >= 0) & (left + column < W)
                    mask = seen[:, None] & known[None, :]
                    value = tl.load(source + (kh * W + column) * C, mask=mask, other=0.0)
                    values += (value.to(tl.float32),)
            added = ()
            for s in tl.static_range(KT * RUN):
                total = sums[s]
                for k in tl.static_range(KH * KW):
                    value = values[k // KW * COLUMNS + s % RUN * STRIDE + k % KW]
                    total += value * weights[(KT - 1 - s // RUN) * KH * KW + k]
                added += (total,)
            sums = added
        if t >= KT // 2:
            for i in tl.static_range(RUN):
                mask = (inside & (w + i < WO))[:, None] & known[None, :]
                tl.store(target + i * C, sums[i].to(y.dtype.element_ty), mask=mask)
            target += HO * WO * C
        sums = sums[RUN:] + (zero,) * RUN
        source += H * W * C


@triton.jit(do_not_specialize=[name for name in _SIZES if name != "steps"])
def _strided_input_gradient(
    grad,
    taps,
    dx,
    positions,
    T,
    H,
    W,
    HO,
    WO,
    C_VECTORS,
    KT: tl.constexpr,
    P: tl.constexpr,
    B: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """Positions are squares of 2 x 2 inputs, made of 2 x 2 outputs; sums[j * 4 + place in it]."""
    C = C_VECTORS * VECTOR
    c = tl.program_id(1) * B + tl.arange(0, B)
    p = tl.program_id(0) * P + tl.arange(0, P)
    inside, known = p < positions, c < C
    n, h, w = (p // (HO * WO)).to(tl.int64), p // WO % HO, p % WO
    source = grad + (((n * T * HO + h) * WO + w) * C)[:, None] + c[None, :]
    target = dx + (((n * T * H + 2 * h) * W + 2 * w) * C)[:, None] + c[None, :]
    weights = ()
    for tap in tl.static_range(KT * 9):
        weights += (tl.load(taps + tap * C + c, mask=known, other=0.0)[None, :],)
    zero = tl.zeros((P, B), tl.float32)
    sums = (zero,) * (KT * 4)
    for t in range(T + KT // 2):
        if t < T:
            values = ()
            for i in tl.static_range(4):
                seen = inside & (h + i // 2 < HO) & (w + i % 2 < WO)
                mask = seen[:, None] & known[None, :]
                value = tl.load(source + (i // 2 * WO + i % 2) * C, mask=mask, other=0.0)
                values += (value.to(tl.float32),)
            added = ()
            for s in tl.static_range(KT * 4):
                total = sums[s]
                for i in tl.static_range(4):  # kh = row of s + 1 - 2 * row of i, kw likewise
                    if (s % 4 // 2 >= i // 2) and (s % 2 >= i % 2):
                        total += (
                            values[i]
                            * weights[
                                (s // 4 * 3 + s % 4 // 2 + 1 - i // 2 * 2) * 3
                                + s % 2
                                + 1
                                - i % 2 * 2
                            ]
                        )
                added += (total,)
            sums = added
        if t >= KT // 2:
            for i in tl.static_range(4):
                whole = inside & (2 * h + i // 2 < H) & (2 * w + i % 2 < W)
                mask = whole[:, None] & known[None, :]
                store = target + (i // 2 * W + i % 2) * C
                tl.store(store, sums[i].to(dx.dtype.element_ty), mask=mask)
            target += H * W * C
        sums = sums[4:] + (zero,) * 4
        source += HO * WO * C


@triton.jit(do_not_specialize=_SIZES)
def _weight_gradient(
    grad,
    x,
    partial,
    steps,
    positions,
    T,
    H,
    W,
    HO,
    WO,
    C_VECTORS,
    KT: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    STRIDE: tl.constexpr,
    RUN: tl.constexpr,
    P: tl.constexpr,
    B: tl.constexpr,
    VECTOR: tl.constexpr,
):
    """A sum per tap over `steps` tiles; grads[j * RUN + i]: frame t - KT//2 + j of the gradient."""
    COLUMNS: tl.constexpr = (RUN - 1) * STRIDE + KW
    C = C_VECTORS * VECTOR
    c = tl.program_id(1) * B + tl.arange(0, B)
    known = c < C
    runs = (WO + RUN - 1) // RUN
    zero = tl.zeros((P, B), tl.float32)
    sums = (zero,) * (KT * KH * KW)
    for step in range(steps):
        p = (tl.program_id(0) * steps + step) * P + tl.arange(0, P)
        inside = p < positions
        n, h, w = (p // (HO * runs)).to(tl.int64), p // runs % HO, p % runs * RUN
        top, left = h * STRIDE - KH // 2, w * STRIDE - KW // 2
        source = x + (((n * T * H + top) * W + left) * C)[:, None] + c[None, :]
        ahead = grad + (((n * T * HO + h) * WO + w) * C)[:, None] + c[None, :]
        grads = (zero,) * (KT // 2 * RUN)
        for j in tl.static_range(KT // 2):
            for i in tl.static_range(RUN):
                mask = (inside & (w + i < WO) & (j < T))[:, None] & known[None, :]
                gradient = tl.load(ahead + i * C, mask=mask, other=0.0)
                grads += (gradient.to(tl.float32),)
            ahead += HO * WO * C
        for t in range(T):
            for i in tl.static_range(RUN):
                mask = (inside & (w + i < WO) & (t + KT // 2 < T))[:, None] & known[None, :]
                gradient = tl.load(ahead + i * C, mask=mask, other=0.0)
                grads += (gradient.to(tl.float32),)
            values = ()
            for kh in tl.static_range(KH):
                row = inside & (top + kh >= 0) & (top + kh < H)
                for column in tl.static_range(COLUMNS):
                    seen = row & (left + column >= 0) & (left + column < W)
                    mask = seen[:, None] & known[None, :]
                    value = tl.load(source + (kh * W + column) * C, mask=mask, other=0.0)
                    values += (value.to(tl.float32),)
            added = ()
            for tap in tl.static_range(KT * KH * KW):
                total = sums[tap]
                for i in tl.static_range(RUN):
                    value = values[tap // KW % KH * COLUMNS + i * STRIDE + tap % KW]
                    total += value * grads[(KT - 1 - tap // (KH * KW)) * RUN + i]
                added += (total,)
            sums = added
            grads = grads[RUN:]
            ahead += HO * WO * C
            source += H * W * C
    for tap in tl.static_range(KT * KH * KW):
        row = partial + (tl.program_id(0) * (KT * KH * KW) + tap) * C
        tl.store(row + c, tl.sum(sums[tap], 0), mask=known)
