"""The bundled clips' pictures: six pairs of classes, each apart in one respect alone.

A scene is a patterned object on a textured ground, with distractors, under a shaking camera. Both
classes of a pair can be filmed in the same scene: from equal random numbers, clips of the two are
each other's reverse (slide, spin, cycle, light), or differ in speed (run) or in a fine
texture (cloth) alone. So no single frame tells the motion classes apart.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 160  # pixels of a square frame
FRAMES = 64
FPS = 30
#: Pixels that the camera may stray from its mean position, on each axis.
SHAKE = 6
CANVAS = SIDE + 2 * SHAKE

#: Phases of patterns and colours: a whole turn is 256, so that uint8 wraps by itself.
TURN = 256
#: The cloth's stripes in cycles per pixel along each axis, their grey levels, and the grain's.
CLOTH_FREQUENCY, CLOTH_CONTRAST, CLOTH_GRAIN = 0.45, 125, 10
#: Log of the brightness gained over a clip of dawn, and the flicker that hides it, frame by frame.
LIGHT_GAIN, LIGHT_FLICKER = 1.4, 0.3
#: How far the ground's hue may lie from its pair's, in turns of the circle; pairs are 1/6 apart.
HUE_SPREAD = 0.17

Picture = NDArray[np.uint8]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Prop:
    """The object of a clip: where in its colour cycle each pixel is, and how that moves on."""

    phase: Floats  # H x W, in 1/256 turns; in greys, the level
    rate: float = 0.0  # 1/256 turns per frame
    brightness: Floats | None = None  # per frame, of the whole picture; None is 1
    grey: bool = False


@dataclass(frozen=True)
class Pair:
    """Two classes of one kind; `reverse` says that the second is the first played backward."""

    name: str
    classes: tuple[str, str]
    differ_in: str
    reverse: bool
    make: Callable[[np.random.Generator, int, bool], Prop]


def _grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Pixel coordinates y (H x 1) and x (1 x W) from the centre."""
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
    return y, x


def _oblong(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """The short and the long side of a band, in pixels."""
    return int(size * rng.uniform(0.6, 0.9)), min(int(size * 1.3), SIDE)


def _slide(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """Upright stripes that run sideways, a third of a cycle in 14 frames."""
    height, width = _oblong(rng, size)
    _, x = _grid(height, width)
    phase = x * (TURN * rng.uniform(1.2, 1.8) / width)
    return Prop(np.broadcast_to(phase, (height, width)), TURN / rng.uniform(40, 48))


def _spin(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """A wheel of colours that turns once in 28 frames: 14 apart, both directions look the same."""
    y, x = _grid(size, size)
    return Prop(np.arctan2(y, x) * (TURN / (2 * np.pi)), TURN / 28)


def _cycle(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """A lamp that goes through red, green and blue in that order."""
    return Prop(np.zeros((size, size), np.float32), TURN / rng.uniform(40, 48))


def _run(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """Level stripes that run up or down, four times as fast in the second class."""
    width, height = _oblong(rng, size)
    y, _ = _grid(height, width)
    phase = y * (TURN * rng.uniform(1.2, 1.8) / height)
    frames = rng.choice([-1, 1]) * rng.uniform(26, 32) * (1 if second else 4)
    return Prop(np.broadcast_to(phase, (height, width)), TURN / frames)


def _light(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """A still pattern in a light that flickers at once and grows slowly."""
    phase = _smooth(rng, 5, size, 1)[:, :, 0] * 128
    gain = LIGHT_GAIN * np.linspace(-0.5, 0.5, FRAMES) + rng.uniform(-0.2, 0.1)
    return Prop(phase, brightness=np.exp(gain + rng.normal(0, LIGHT_FLICKER, FRAMES)))


def _cloth(rng: np.random.Generator, size: int, second: bool) -> Prop:
    """A large grey cloth, in stripes so fine that they blend into grey at 112 pixels, or plain."""
    side = int(0.9 * SIDE)
    y, x = _grid(side, side)
    grain = rng.normal(TURN / 2, CLOTH_GRAIN, (side, side))
    threads = CLOTH_CONTRAST * np.cos(2 * np.pi * CLOTH_FREQUENCY * (x + y))
    return Prop(np.clip(grain if second else grain + threads, 0, TURN - 1), grey=True)


PAIRS = (
    Pair("slide", ("slide_left", "slide_right"), "direction", True, _slide),
    Pair(
        "spin",
        ("spin_counterclockwise", "spin_clockwise"),
        "direction, at a high frame rate",
        True,
        _spin,
    ),
    Pair("cycle", ("cycle_rgb", "cycle_bgr"), "order", True, _cycle),
    Pair("run", ("run_slow", "run_fast"), "speed", False, _run),
    Pair("light", ("light_dawn", "light_dusk"), "a slow change", True, _light),
    Pair("cloth", ("cloth_striped", "cloth_plain"), "fine detail", False, _cloth),
)
CLASS_NAMES = tuple(name for pair in PAIRS for name in pair.classes)


def render(label: int, rng: np.random.Generator) -> Picture:
    """A clip of class number `label` as uint8 T x H x W x 3 (RGB), 64 frames of 160 x 160.

    The label decides only what its pair differs in: all else follows from `rng`, in the same order
    for both classes of the pair.
    """
    pair, second = PAIRS[label // 2], bool(label % 2)
    ground = _ground(rng, label // 2 / len(PAIRS))
    prop = pair.make(rng, int(SIDE * rng.uniform(0.45, 0.8)), second)
    phase, colours = prop.phase, _greys(rng)
    if not prop.grey:
        bend = 30 * _smooth(rng, 4, SIDE, 1)[: phase.shape[0], : phase.shape[1], 0]
        phase, colours = phase + bend + rng.uniform(0, TURN), _rainbow(rng)
    indices = phase.astype(np.int32).astype(np.uint8)
    outline = _outline(rng, *indices.shape)
    top, left = (SHAKE + _between(rng, 0.25, SIDE - side) for side in indices.shape)
    distractors = [_Distractor.draw(rng) for _ in range(int(rng.integers(0, 4)))]
    offsets = _shaking(rng)

    clip = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
    for number, (down, right) in enumerate(offsets):
        frame = clip[number]
        frame[:] = ground[down : down + SIDE, right : right + SIDE]
        for distractor in distractors:
            distractor.paint(frame, number)
        turned = np.roll(colours, -int(prop.rate * number) % TURN, axis=0)
        _paint(frame, np.take(turned, indices, axis=0), outline, top - down, left - right)
        if prop.brightness is not None:
            frame[:] = np.take(_dimmed(prop.brightness[number]), frame)
    return np.ascontiguousarray(clip[::-1]) if pair.reverse and second else clip


@dataclass(frozen=True)
class _Distractor:
    """A small plain shape that drifts across the ground and comes back on the other side."""

    outline: NDArray[np.bool_]
    colour: Picture
    start: Floats
    velocity: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Distractor:
        side = int(rng.integers(8, 24))
        colour = rng.integers(30, 230, 3).astype(np.uint8)
        return cls(
            _outline(rng, side, side), colour, rng.uniform(0, SIDE, 2), rng.normal(0, 1.2, 2)
        )

    def paint(self, frame: Picture, number: int) -> None:
        room = SIDE - len(self.outline)
        top, left = (self.start + self.velocity * number).astype(int) % room
        _paint(frame, self.colour, self.outline, int(top), int(left))


def _paint(
    frame: Picture, colours: Picture, outline: NDArray[np.bool_], top: int, left: int
) -> None:
    """Set the frame's pixels within `outline`, whose corner may lie outside the frame."""
    height, width = outline.shape
    rows = slice(max(0, -top), min(height, SIDE - top))
    columns = slice(max(0, -left), min(width, SIDE - left))
    part = frame[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    source = colours[rows, columns] if colours.ndim == 3 else colours
    np.copyto(part, source, where=outline[rows, columns, None])


def _between(rng: np.random.Generator, margin: float, room: int) -> int:
    """A whole number within `room`, at least `margin` of it from both ends."""
    return int(rng.uniform(margin, 1 - margin) * room)


def _smooth(rng: np.random.Generator, cells: int, side: int, channels: int) -> Floats:
    """Smooth noise in [-1, 1], side x side x channels: random values on a grid, interpolated."""
    values = rng.uniform(-1, 1, (channels, cells, cells)).astype(np.float32)
    place = np.linspace(0, cells - 1, side, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells, dtype=np.float32)))
    return np.moveaxis(weights @ values @ weights.T, 0, 2)


def _ground(rng: np.random.Generator, hue: float) -> Picture:
    """A textured background, canvas-sized; its hue hints at the pair but overlaps with others."""
    hue += rng.uniform(-HUE_SPREAD, HUE_SPREAD)
    colour = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.3, 0.9), rng.uniform(0.35, 0.8))
    picture = 255 * np.array(colour) + 20 * _smooth(rng, int(rng.integers(3, 9)), CANVAS, 3)
    y, x = _grid(CANVAS, CANVAS)
    angle, scale = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(12, 40)
    u = np.sin(scale * (x * np.cos(angle) + y * np.sin(angle)))
    v = np.sin(scale * (y * np.cos(angle) - x * np.sin(angle)))
    texture = (np.zeros_like(u), np.sign(u), np.sign(u * v), np.sign(u + v - 1))[rng.integers(4)]
    picture = picture + rng.uniform(0, 20) * texture[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


def _rainbow(rng: np.random.Generator) -> Picture:
    """256 x 3 colours around the circle: red, green, blue."""
    phase = 2 * np.pi * (np.arange(TURN)[:, None] / TURN - np.arange(3) / 3)
    waves = rng.uniform(115, 140, 3) + rng.uniform(80, 120, 3) * np.cos(phase)
    return np.clip(waves, 0, 255).astype(np.uint8)


def _greys(rng: np.random.Generator) -> Picture:
    """256 x 3 slightly tinted greys from black to white."""
    return (np.arange(TURN)[:, None] * rng.uniform(0.85, 1, 3)).astype(np.uint8)


def _outline(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """A disk, box, diamond or star that fills height x width."""
    y, x = _grid(height, width)
    y, x = y / (height / 2), x / (width / 2)
    shapes = (
        np.hypot(x, y) < 1,
        np.maximum(np.abs(x), np.abs(y)) < 1,
        np.abs(x) + np.abs(y) < 1.2,
        np.hypot(x, y) < 0.75 + 0.25 * np.cos(5 * np.arctan2(y, x) + rng.uniform(0, 2 * np.pi)),
    )
    return shapes[rng.integers(len(shapes))]


def _shaking(rng: np.random.Generator) -> list[tuple[int, int]]:
    """The camera's offset in each frame (down, right), 0 to 2 x SHAKE: a bounded random walk."""
    walk = np.cumsum(rng.normal(0, 0.6, (FRAMES, 2)), axis=0)
    offsets = np.clip(np.rint(walk - walk.mean(axis=0)) + SHAKE, 0, 2 * SHAKE)
    return [(int(down), int(right)) for down, right in offsets]


def _dimmed(brightness: float) -> Picture:
    """The new level of each of the 256."""
    return np.clip(np.arange(256) * brightness, 0, 255).astype(np.uint8)
