"""Labels of videos, whole or window by window, of files, cameras and pipes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError, DataError, nearest
from expand3d.core.result import Interrupted
from expand3d.core.spans import Span, Window, spans_of
from expand3d.data.decode import decode_to
from expand3d.data.layouts.folders import VIDEO_SUFFIXES
from expand3d.data.live import is_live, live_frames
from expand3d.data.protocols import MultiView, read_views, reads_one_clip
from expand3d.data.sliding import Look, Seen, Slider, Sliding
from expand3d.data.video_info import Frame
from expand3d.run.model import Trained
from expand3d.run.reading import AsTrained, file_views, refuse_slow_flow

if TYPE_CHECKING:
    from torch import Tensor

    from expand3d.training.views import Views

#: Windows of a file that go through the network together.
TOGETHER = 8


@dataclass(frozen=True)
class Wanted:
    """The prediction that is wanted: whole videos in so many `clips`, or windows that slide.

    `window` and `stride` are seconds; with neither, files are whole. A moment has a label where one
    reaches `threshold` and is not the `background`.
    """

    sources: tuple[str, ...]
    clips: int = 10
    views: str = "pyslowfast"
    window: float | None = None
    stride: float | None = None
    threshold: float = 0.0
    background: str | None = None
    features: bool = False
    device: str = "cpu"
    threads: int = 1

    @property
    def slides(self) -> bool:
        return self.window is not None or self.stride is not None


@dataclass(frozen=True)
class Found:
    """The windows of one source, of a whole video one, and the spans that they make.

    `features` are a row per window, where they are wanted. `dropped` windows of a live source were
    left out to keep up.
    """

    source: str
    seconds: float
    windows: tuple[Window, ...]
    spans: tuple[Span, ...]
    features: NDArray[np.float32] | None = field(default=None, repr=False)
    dropped: int = 0


@dataclass(frozen=True)
class Told:
    """A window of a live source as it is shown: `delay` is seconds since its last frame came."""

    window: Window
    delay: float
    dropped: int


def sources_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The files that the texts name, of folders every video in them; cameras and pipes as they are.

    DataError where one is missing, or a folder holds no video.
    """
    found: list[str] = []
    for text in texts:
        path = Path(text)
        if is_live(text) or path.is_file():
            found.append(text)
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
            if not inside:
                raise DataError(f"{text}: no video in this folder")
            found += map(str, inside)
        else:
            raise DataError(f"{text}: there is no such file, folder or camera")
    return tuple(found)


class Predictor:
    """A trained network that looks at videos; ConfigError where it cannot do what is wanted."""

    def __init__(self, model: Trained, wanted: Wanted) -> None:
        self.model, self.wanted = model, wanted
        for source in filter(is_live, wanted.sources):
            refuse_slow_flow(model.reading, source)
        self._background = _label(model, wanted.background)
        if not 0 <= wanted.threshold <= 1:
            raise ConfigError(f"--threshold {wanted.threshold:g} must lie in [0, 1]")
        self._sliding = Sliding.of(
            model.plan, model.fps, window=wanted.window, stride=wanted.stride, clip=_clip(model)
        )
        self._answers = model.answers(device=wanted.device, threads=wanted.threads, views=TOGETHER)
        self._features = _Features(self._answers, model) if wanted.features else None

    def file(self, source: str, *, stop: Callable[[], bool] = lambda: False) -> Found:
        """The labels of a file; Interrupted once `stop` says so."""
        if self.wanted.slides:
            return self._slid(source, stop)
        plan, clips = self.model.plan, self.wanted.clips
        if reads_one_clip(plan):
            test = MultiView(self.wanted.views, clips, 1, plan.crop, self.model.fps)
            views: Views = (read_views(Path(source), plan, test),)
        else:
            views = file_views(Path(source), plan, self.model.reading, clips=clips, crops=1)
        probabilities, features = self._answer([views])
        from expand3d.data.decode import verify

        seconds = verify(Path(source)).duration_s
        window = Window(0.0, seconds, probabilities[0])
        return self._found(source, seconds, [window], features)

    def _slider(self) -> Slider:
        """A look at another video."""
        model, sliding = self.model, self._sliding
        look: Look | None = None
        if not reads_one_clip(model.plan):
            look = AsTrained(model.plan, model.reading, clips=sliding.count)
        return Slider(sliding, look)

    def _slid(self, source: str, stop: Callable[[], bool]) -> Found:
        slider, waiting, windows = self._slider(), list[Seen](), list[Window]()
        rows: list[NDArray[np.float32]] = []

        def answer(least: int) -> None:
            if waiting and len(waiting) >= least:
                if stop():
                    raise Interrupted(f"stopped after {windows[-1].end if windows else 0:.1f} s")
                self._windows(waiting, windows, rows)
                waiting.clear()

        def begin() -> None:
            slider.begin()
            for each in (waiting, windows, rows):
                each.clear()

        def take(frame: Frame, times: int) -> None:
            waiting.extend(slider.push(frame, times))
            answer(TOGETHER)

        decode_to(Path(source), begin, take, fps=self.model.fps, short_side=None)
        waiting.extend(slider.finish())
        answer(1)
        features = np.concatenate(rows) if rows else None
        return self._found(source, slider.seconds, windows, features)

    def live(
        self,
        source: str,
        *,
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[Told], None] = lambda told: None,
    ) -> Found:
        """The labels of a camera or a pipe, told by window until it ends or `stop` says so.

        Windows that wait while newer ones are whole are dropped, so that the delay stays small.
        """
        slider, windows, dropped = self._slider(), list[Window](), 0
        rows: list[NDArray[np.float32]] = []
        with closing(live_frames(source, fps=self.model.fps)) as stream:
            for came in stream:
                whole: list[tuple[Seen, float]] = []
                for frame, times, at in came:
                    whole += [(seen, at) for seen in slider.push(frame, times)]
                if whole:
                    dropped += len(whole) - 1
                    seen, at = whole[-1]
                    self._windows([seen], windows, rows)
                    tell(Told(windows[-1], time.monotonic() - at, dropped))
                if stop():
                    break
        self._windows(list(slider.finish()), windows, rows)
        features = np.concatenate(rows) if rows else None
        found = self._found(source, slider.seconds, windows, features)
        return dataclasses.replace(found, dropped=dropped)

    def _windows(
        self, seen: Sequence[Seen], windows: list[Window], rows: list[NDArray[np.float32]]
    ) -> None:
        """Answer windows together, and add what was found."""
        if not seen:
            return
        probabilities, features = self._answer([each.views for each in seen])
        for each, row in zip(seen, probabilities, strict=True):
            windows.append(Window(each.start, each.end, row))
        if features is not None:
            rows.append(features)

    def _answer(
        self, windows: Sequence[Views]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """The mean probabilities, and the mean features, of windows with as many views each."""
        import torch

        count, each = len(windows), len(windows[0][0])
        together = tuple(torch.cat(views) for views in zip(*windows, strict=True))
        found = self._answers.probabilities(together).numpy()
        if not np.isfinite(found).all():
            raise ConfigError(f"{self.model.title}: its output is not finite")
        mean = found.reshape(count, each, -1).mean(axis=1)
        if self._features is None:
            return mean, None
        rows = self._features.take()
        return mean, rows.reshape(count, each, -1).mean(axis=1)

    def _found(
        self,
        source: str,
        seconds: float,
        windows: Sequence[Window],
        features: NDArray[np.float32] | None,
    ) -> Found:
        spans = spans_of(windows, threshold=self.wanted.threshold, background=self._background)
        return Found(source, seconds, tuple(windows), spans, features)


def _clip(model: Trained) -> int:
    """Frames of a video that the network's clip is made of."""
    from expand3d.training.views import clip_frames

    flow = model.reading.flow
    return clip_frames(model.plan, distance=1 if flow is None else flow.distance)


def _label(model: Trained, name: str | None) -> int | None:
    """The label of a class; ConfigError where the network does not know it."""
    if name is None:
        return None
    if name not in model.classes:
        raise ConfigError(
            f"--background {name!r} is no class of {model.title}{nearest(name, model.classes)}"
        )
    return model.classes.index(name)


class _Features:
    """The input of a network's last linear layer, kept as it passes."""

    def __init__(self, answers: Any, model: Trained) -> None:
        from torch import nn

        network = getattr(answers, "network", None)
        if network is None:
            raise ConfigError("--features needs a network with weights, not an ONNX file")
        if not reads_one_clip(model.plan):
            raise ConfigError("--features are of networks that read one clip of frames")
        last = [
            module
            for module in network.modules()
            if isinstance(module, nn.Linear) and module.out_features == len(model.classes)
        ]
        if not last:
            raise ConfigError(f"--features: {model.plan.family} has no last linear layer")
        self._kept: list[Tensor] = []
        last[-1].register_forward_pre_hook(self._look)

    def _look(self, module: Any, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().float().cpu()
        # Whatever positions a head still has are averaged.
        self._kept.append(x.reshape(x.shape[0], -1, x.shape[-1]).mean(dim=1))

    def take(self) -> NDArray[np.float32]:
        """The rows since the last call, N x width."""
        import torch

        found: NDArray[np.float32] = torch.cat(self._kept).numpy()
        self._kept.clear()
        return found
