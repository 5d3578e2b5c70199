"""Predictions as files: tables, subtitles, embeddings, and videos with their labels drawn."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import FileError
from expand3d.core.files import unique_temporary, write_whole
from expand3d.core.spans import Span, Window, srt
from expand3d.data.decode import decode_to, probe
from expand3d.data.video_info import Frame

#: The kinds of files that predictions are written to, by suffix.
KINDS = (".csv", ".json", ".srt")
#: Classes that the JSON names of each whole video or window.
TOP = 5


class Prediction(Protocol):
    """The windows and spans of one source."""

    @property
    def source(self) -> str: ...

    @property
    def seconds(self) -> float: ...

    @property
    def windows(self) -> Sequence[Window]: ...

    @property
    def spans(self) -> Sequence[Span]: ...

    @property
    def features(self) -> NDArray[np.float32] | None: ...


def spans_csv(found: Iterable[Prediction], names: Sequence[str]) -> str:
    """A row per span: source, start and end in seconds, label, score."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["source", "start", "end", "label", "score"])
    for each in found:
        for span in each.spans:
            times = f"{span.start:.3f}", f"{span.end:.3f}"
            rows.writerow([each.source, *times, names[span.label], f"{span.score:.6f}"])
    return text.getvalue()


def as_json(found: Iterable[Prediction], names: Sequence[str]) -> list[dict[str, Any]]:
    """Each source with its spans, and the best classes of each window."""
    return [
        {
            "source": each.source,
            "seconds": round(each.seconds, 3),
            "spans": [
                {
                    "start": round(span.start, 3),
                    "end": round(span.end, 3),
                    "label": names[span.label],
                    "score": span.score,
                }
                for span in each.spans
            ],
            "windows": [
                {
                    "start": round(window.start, 3),
                    "end": round(window.end, 3),
                    "top": [
                        {"label": names[label], "score": float(window.probabilities[label])}
                        for label in np.argsort(-window.probabilities, kind="stable")[:TOP]
                    ],
                }
                for window in each.windows
            ],
        }
        for each in found
    ]


def write_predictions(found: Sequence[Prediction], names: Sequence[str], path: Path) -> Path:
    """The file, which now holds the predictions in the form of its suffix, one of KINDS."""
    if path.suffix == ".srt":
        (only,) = found
        return write_whole(path, srt(only.spans, names))
    if path.suffix == ".json":
        return write_whole(path, json.dumps(as_json(found, names), indent=2) + "\n")
    return write_whole(path, spans_csv(found, names))


def write_features(found: Sequence[Prediction], names: Sequence[str], path: Path) -> Path:
    """The Parquet file, which now has a row per window: its times, best label and features."""
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {
        name: [] for name in ("source", "start", "end", "label", "score", "features")
    }
    for each in found:
        assert each.features is not None, "they were asked for"
        for window, row in zip(each.windows, each.features, strict=True):
            label = int(window.probabilities.argmax())
            values = (each.source, window.start, window.end, names[label])
            score = float(window.probabilities[label])
            for column, value in zip(columns, (*values, score, row), strict=True):
                columns[column].append(value)
    floats = pyarrow.list_(pyarrow.float32())
    table = pyarrow.table({**columns, "features": pyarrow.array(columns["features"], floats)})
    content = io.BytesIO()
    parquet.write_table(table, content)
    return write_whole(path, content.getvalue())


def annotate(found: Prediction, names: Sequence[str], out: Path) -> Path:
    """The video with the label of each moment drawn at the bottom, without sound."""
    source = Path(found.source)
    fps = probe(source).fps
    temporary = unique_temporary(out).with_suffix(out.suffix)
    encoder = _Encoder(temporary, fps)
    drawer = _Drawer(found.spans, names, fps)

    def begin() -> None:
        drawer.number = 0
        encoder.begin()

    def take(frame: Frame, times: int) -> None:
        for _ in range(times):
            encoder.add(drawer.drawn(frame))

    try:
        decode_to(source, begin, take, fps=fps, short_side=None)
        encoder.finish()
        temporary.replace(out)
    except OSError as error:
        raise FileError(f"{out} cannot be written: {error}") from None
    finally:
        encoder.close()
        temporary.unlink(missing_ok=True)
    return out


class _Encoder:
    """A video that is written frame by frame, from the beginning once more where need be."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._rate = path, Fraction(fps).limit_denominator(1001)
        self._container: Any = None
        self._stream: Any = None

    def begin(self) -> None:
        import av

        self.close()
        self._container, self._stream = av.open(str(self._path), "w"), None

    def add(self, frame: Frame) -> None:
        import av

        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate)
            height, width = frame.shape[:2]
            self._stream.height, self._stream.width = height - height % 2, width - width % 2
            self._stream.pix_fmt = "yuv420p"
        even = np.ascontiguousarray(frame[: self._stream.height, : self._stream.width])
        made = av.VideoFrame.from_ndarray(even, format="rgb24")
        self._container.mux(self._stream.encode(made))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None


class _Drawer:
    """Draws labels on the frames of a video, in their order."""

    def __init__(self, spans: Sequence[Span], names: Sequence[str], fps: float) -> None:
        self._spans, self._names, self._fps = spans, names, fps
        self.number = 0

    def drawn(self, frame: Frame) -> Frame:
        """The next frame with the label of its moment, or as it is."""
        from PIL import Image, ImageDraw, ImageFont

        now = self.number / self._fps
        self.number += 1
        here = next((span for span in self._spans if span.start <= now < span.end), None)
        if here is None:
            return frame
        picture = Image.fromarray(frame)
        height = max(10, frame.shape[0] // 14)
        font = ImageFont.load_default(size=height)
        draw = ImageDraw.Draw(picture)
        top = frame.shape[0] - round(1.6 * height)
        draw.rectangle((0, top, frame.shape[1], frame.shape[0]), fill=(0, 0, 0))
        text = f"{self._names[here.label]}  {here.score:.0%}"
        draw.text((height // 2, top + height // 6), text, fill=(255, 255, 255), font=font)
        return np.asarray(picture)
