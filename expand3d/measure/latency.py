"""Latency as it is measured: one clip at a time through the network that a study trains.

The network is built with random weights, in eval mode and inference mode, in the memory layout of
trainings on that device (channels-last on a CPU) and in float32; BatchNorm is not folded. In a
runtime that ships networks it is the file that `export` writes. Reading and normalising the clip is
not in it.

Whatever else a machine does only adds time, up to twice as much, and comes and goes within seconds.
So passes are timed in bursts, and a small matrix product of always the same size tells before and
after each whether the machine is as fast as it has been; bursts end when two of quiet moments
agree, and the quietest counts.
"""

from __future__ import annotations

import math
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, ClassVar

from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.data.flow.store import FlowSpec
from expand3d.measure.flow import fields, flow_work
from expand3d.measure.runtimes import Passes, is_shipped, passes
from expand3d.networks import get_family
from expand3d.networks.example import example, example_views

if TYPE_CHECKING:
    from expand3d.training.placement import Placement

#: Passes and seconds before the clock counts: memory is allocated, kernels are chosen.
WARM_UP_RUNS, WARM_UP_SECONDS = 3, 0.3
#: Passes of a burst: until both are reached, or either of the most.
LEAST_RUNS, LEAST_SECONDS = 15, 0.5
MOST_RUNS, MOST_SECONDS = 200, 10.0
#: Bursts end when the medians of the two quietest are this near.
AGREEMENT = 1.05
#: A moment is quiet while the probe takes at most so many times its shortest time in this process,
#: which is looked for at first for so long.
QUIET, LOOK_SECONDS = 1.15, 2.0
#: Side of the probe's matrices, and how often it is taken.
PROBE_SIDE, PROBE_RUNS = 512, 3
#: A network so slow that `MOST_SECONDS` end before is timed by this many passes all the same.
FEWEST_RUNS = 5

Timer = Callable[[], float]


def measure_latency(
    plan: Plan,
    *,
    device: str,
    threads: int | None = None,
    timer: Timer = time.perf_counter,
    flow: FlowSpec | None = None,
) -> Latency:
    """The latency of `plan` on `device` ("cpu", "cuda", "cuda:1"), measured now in 1 to 10 s.

    `device` may be a runtime that ships networks ("onnxruntime"), which runs on the CPU. `threads`
    None keeps torch's number. Where the network reads optical flow, computing it, as `flow` says,
    is a part of its latency. The random state and the thread count are left as they were;
    ConfigError where the device or the runtime is not there.
    """
    from expand3d.core.recipe import get_profile
    from expand3d.training.placement import place

    runtime = device if is_shipped(device) else None
    recipe = get_profile("quick", {"amp": "off"})
    placement = place(recipe, device="cpu" if runtime else device, threads=threads)
    with placement.active(), tempfile.TemporaryDirectory(prefix="expand3d-latency-") as scratch:
        if runtime:
            network = get_family(plan.family).build(plan).eval()
            once, setting = passes(
                *(runtime, network, plan, example(plan, 1)),
                threads=placement.threads,
                folder=Path(scratch),
            )
        else:
            once, setting = _of_torch(plan, placement)
        flow_of_clip = flow_work(plan, flow or FlowSpec())

        def whole() -> None:
            flow_of_clip()
            once()

        return time_passes(
            whole,
            placement=placement,
            device=runtime or str(placement.device),
            setting=f"{setting}{_with(plan, flow)}",
            timer=timer,
        )


def time_passes(
    once: Callable[[], object],
    *,
    placement: Placement,
    device: str,
    setting: str,
    timer: Timer = time.perf_counter,
) -> Latency:
    """The latency of `once`, a pass of one clip, in quiet moments after a warm-up."""
    times = timed(once, timer=timer, probe=_Probe(placement))
    low, middle, high = (1000 * second for second in quantiles(times, n=4, method="inclusive"))
    return Latency(
        median=middle,
        low=low,
        high=high,
        runs=len(times),
        device=device,
        hardware=hardware(placement),
        threads=placement.threads,
        setting=setting,
    )


def _of_torch(plan: Plan, placement: Placement) -> Passes:
    """A pass of the network as trainings run it."""
    import torch

    with torch.inference_mode():
        network = placement.model(get_family(plan.family).build(plan)).eval()
        clip = placement.inputs(example_views(plan, 1), plan.kinds)

    def once() -> None:
        with torch.inference_mode():
            network(*clip)
            if placement.on_gpu:
                torch.cuda.synchronize(placement.device)

    layout = "channels_last_3d" if placement.channels_last else "contiguous"
    return once, f"{layout}, float32, torch {torch.__version__}"


def _with(plan: Plan, flow: FlowSpec | None) -> str:
    """The flow that a latency counts, in words; empty where the network reads none."""
    if plan.sources <= {"frames"}:
        return ""
    spec = flow or FlowSpec()
    return f", with {fields(plan)} fields of flow ({spec.method}, {spec.short_side} pixels)"


def always_quiet() -> bool:
    """A probe of a machine that nobody else uses."""
    return True


def timed(
    once: Callable[[], object], *, timer: Timer, probe: Callable[[], bool] = always_quiet
) -> list[float]:
    """Seconds of each pass of `once` in the quietest burst after the warm-up.

    `probe` says whether the moment is quiet.
    """
    started, warm = timer(), 0
    while warm < WARM_UP_RUNS or timer() - started < WARM_UP_SECONDS:
        once()
        warm += 1
        if warm >= 2 and timer() - started > MOST_SECONDS:
            break
    quiet: list[list[float]] = []
    busy: list[list[float]] = []
    while sum(map(sum, quiet + busy)) < MOST_SECONDS and not _agree(quiet):
        before = probe()
        burst = _burst(once, timer)
        (quiet if before and probe() else busy).append(burst)
    return min(quiet or busy, key=median)


def _agree(bursts: list[list[float]]) -> bool:
    """True where the medians of the two quietest bursts are near each other."""
    quietest, second = [*sorted(map(median, bursts)), math.inf, math.inf][:2]
    return len(bursts) > 1 and second <= AGREEMENT * quietest


class _Probe:
    """A matrix product of one size, which tells if the machine is as fast now as it has been."""

    #: The shortest time of the probe in this process, by device and threads.
    _shortest: ClassVar[dict[tuple[str, int], float]] = {}

    def __init__(self, placement: Placement) -> None:
        import torch

        self._placement = placement
        self._matrix = torch.ones(PROBE_SIDE, PROBE_SIDE, device=placement.device)
        self._key = (str(placement.device), placement.threads)
        if self._key not in self._shortest:
            started = time.perf_counter()
            while time.perf_counter() - started < LOOK_SECONDS:
                self()

    def __call__(self) -> bool:
        import torch

        seconds = math.inf
        for _ in range(PROBE_RUNS):
            before = time.perf_counter()
            self._matrix @ self._matrix
            if self._placement.on_gpu:
                torch.cuda.synchronize(self._placement.device)
            seconds = min(seconds, time.perf_counter() - before)
        shortest = min(seconds, self._shortest.get(self._key, math.inf))
        self._shortest[self._key] = shortest
        return seconds <= QUIET * shortest


def _burst(once: Callable[[], object], timer: Timer) -> list[float]:
    times: list[float] = []
    while not _enough(times):
        before = timer()
        once()
        times.append(timer() - before)
    return times


def _enough(times: list[float]) -> bool:
    runs, seconds = len(times), sum(times)
    if runs >= MOST_RUNS or (runs >= FEWEST_RUNS and seconds >= MOST_SECONDS):
        return True
    return runs >= LEAST_RUNS and seconds >= LEAST_SECONDS


def hardware_of(device: str) -> str:
    """The name of what `device` ("cpu", "cuda") is."""
    from expand3d.core.recipe import get_profile
    from expand3d.training.placement import place

    return hardware(place(get_profile("quick", {"amp": "off"}), device=device))


def hardware(placement: Placement) -> str:
    """The name of the GPU, or of the processor."""
    if placement.on_gpu:
        import torch

        return torch.cuda.get_device_name(placement.device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
