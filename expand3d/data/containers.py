"""Gaps that a file's container proves by itself: its end is missing, or zeros stand in its middle.

Demuxers pass over both in silence where the format lets them find the next frame. Only what the
format declares counts: an element, chunk or page that ends behind the end of the file, a hole where
one must begin, a page number that is left out. Counts and durations in headers prove nothing, and
what cannot be understood is left to the demuxer. Transport and program streams, and raw streams,
declare no length: what is there is all there is.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from expand3d.data.places import part_of

#: Matroska, element numbers: at the top, and in a cluster.
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_TOP = frozenset(
    (
        *(0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER),
        *(0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367),
    )
)
#: RIFF lengths that a writer leaves which never came back to fill them in.
_NOT_FILLED_IN = (0, 0x7FFFFFFF, 0xFFFFFFFF)
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


def missing(path: Path) -> str | None:
    """The parts that the container proves to be missing, in a few words, or None."""
    part = part_of(path)
    file = os.open(part.file if part else path, os.O_RDONLY)
    try:
        walk = _Walk(file, part.size, part.start) if part else _Walk(file, os.fstat(file).st_size)
        head = walk.bytes(0, 16)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return _riff(walk)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(walk)
        if head[:4] == b"OggS":
            return _ogg(walk)
        if head[:3] == b"FLV":
            return _flv(walk)
        if head[:4] == b"\x30\x26\xb2\x75":
            return _asf(walk)
        return _boxes(walk) if head[4:8] in (b"ftyp", b"styp") else None
    except struct.error:
        # A header that ends with the file: nothing of it was announced.
        return None
    finally:
        os.close(file)


class _Walk:
    """Reading of single headers, at any place of a file."""

    def __init__(self, file: int, size: int, start: int = 0) -> None:
        self._file = file
        self._start = start
        self.size = size

    def bytes(self, at: int, count: int) -> bytes:
        """The bytes at a place, fewer at the end of the file."""
        return os.pread(self._file, max(0, min(count, self.size - at)), self._start + at)

    def ints(self, form: str, at: int) -> tuple[int, ...]:
        """Integers at a place; struct.error where the file ends before them."""
        return struct.unpack(form, self.bytes(at, struct.calcsize(form)))

    def cut(self, end: int) -> str | None:
        """The words for an end behind the file's; None where it lies within."""
        if end <= self.size:
            return None
        return f"cut off: {self.size:,} of at least {end:,} bytes are there"


def _hole(at: int) -> str:
    return f"damaged: zeros at byte {at:,}, where the container must go on"


def _riff(walk: _Walk) -> str | None:
    """AVI: the lists of chunks, one RIFF after another (large files have several)."""
    at = 0
    while walk.bytes(at, 4) == b"RIFF":
        (length,) = walk.ints("<I", at + 4)
        end = walk.size if length in _NOT_FILLED_IN else at + 8 + length
        at += 12
        while at + 8 <= min(end, walk.size):
            name = walk.bytes(at, 4)
            (length,) = walk.ints("<I", at + 4)
            if name == b"LIST" and walk.bytes(at + 8, 4) == b"movi":
                whole = length not in _NOT_FILLED_IN
                last = at + 8 + length if whole else walk.size
                fault = (walk.cut(last) if whole else None) or _chunks(walk, at + 12, last)
                if fault:
                    return fault
            at += 8 + length + length % 2
        at = end + end % 2
    return None


def _chunks(walk: _Walk, at: int, end: int) -> str | None:
    """The chunks of an AVI's list of frames."""
    while at + 8 <= end:
        name = walk.bytes(at, 4)
        if name == b"\0\0\0\0":
            # Some cameras fill the list up with zeros before the index.
            padded = end - at < 2**20 and walk.bytes(end, 4) == b"idx1"
            return None if padded and not any(walk.bytes(at, end - at)) else _hole(at)
        if not name.isascii() or not name.decode().isprintable():
            return None
        if name in (b"LIST", b"RIFF"):
            at += 12
            continue
        if name == b"idx1":
            return None
        (length,) = walk.ints("<I", at + 4)
        if fault := walk.cut(at + 8 + length):
            return fault
        at += 8 + length + length % 2
    return None


def _matroska(walk: _Walk) -> str | None:
    """Matroska and WebM: the elements of the segment and of its clusters."""
    head = _element(walk, 0)
    place = head and head[2] is not None and _element(walk, head[1] + head[2])
    if not place or place[0] != _SEGMENT:
        return None
    _, at, length = place
    end = walk.size if length is None else at + length
    if fault := walk.cut(end):
        return fault
    while at < end:
        if walk.bytes(at, 1) == b"\0":
            return _hole(at)
        place = _element(walk, at)
        if place is None:
            return None
        number, inside, length = place
        if number == _CLUSTER:
            stop, fault = _cluster(walk, inside, end if length is None else inside + length)
            if fault or (length is None and stop is None):
                return fault
            at = stop if length is None and stop is not None else inside + (length or 0)
        elif length is None:
            return None
        else:
            at = inside + length
        if fault := walk.cut(at):
            return fault
    return None


def _cluster(walk: _Walk, at: int, stop: int) -> tuple[int | None, str | None]:
    """The end of a cluster's elements (None: at what is no element), and the fault in them."""
    if fault := walk.cut(stop):
        return stop, fault
    while at < stop:
        if walk.bytes(at, 1) == b"\0":
            return at, _hole(at)
        child = _element(walk, at)
        if child is None:
            return None, None
        number, inside, length = child
        if length is None or number in _TOP or number == _SEGMENT:
            return at, None
        at = inside + length
        if fault := walk.cut(at):
            return at, fault
    return at, None


def _element(walk: _Walk, at: int) -> tuple[int, int, int | None] | None:
    """Number, place and length of an element's content (length None: unknown); None at no element.

    RFC 8794: the leading zeros of number and length say how many bytes each takes.
    """
    head = walk.bytes(at, 12)
    if not head or not head[0]:
        return None
    wide = 9 - head[0].bit_length()
    if wide > 4 or len(head) <= wide or not head[wide]:
        return None
    long = 9 - head[wide].bit_length()
    if len(head) < wide + long:
        return None
    number = int.from_bytes(head[:wide], "big")
    length = int.from_bytes(head[wide : wide + long], "big") & ((1 << 7 * long) - 1)
    unknown = length == (1 << 7 * long) - 1
    return number, at + wide + long, None if unknown else length


def _ogg(walk: _Walk) -> str | None:
    """Ogg: its pages, which are numbered per stream."""
    at = 0
    pages: dict[int, int] = {}
    while at + 27 <= walk.size:
        if walk.bytes(at, 4) != b"OggS":
            return _hole(at) if walk.bytes(at, 4) == b"\0\0\0\0" else None
        begins = walk.bytes(at + 5, 1)[0] & 2
        stream, page = walk.ints("<II", at + 14)
        if not begins and stream in pages and page != pages[stream] + 1:
            return f"damaged: page {page} of the container follows page {pages[stream]}"
        pages[stream] = page
        (count,) = walk.ints("B", at + 26)
        at += 27 + count + sum(walk.bytes(at + 27, count))
        if fault := walk.cut(at):
            return fault
    return None


def _flv(walk: _Walk) -> str | None:
    """Flash video: its tags, each with its length before and behind it."""
    at = walk.ints(">I", 5)[0] + 4
    while at < walk.size:
        head = walk.bytes(at, 11)
        if head == bytes(11):
            return _hole(at)
        if head[0] & 0x1F not in (8, 9, 18):
            return None
        at += 11 + int.from_bytes(head[1:4], "big") + 4
        # The length behind the last tag may be missing.
        if fault := walk.cut(at - 4):
            return fault
    return None


def _asf(walk: _Walk) -> str | None:
    """Windows Media: packets of one length, in an object whose length is declared."""
    (at,) = walk.ints("<Q", 16)
    inside, packet, live = 30, 0, False
    while inside + 24 <= at:
        (length,) = walk.ints("<Q", inside + 16)
        if walk.bytes(inside, 16) == _ASF_FILE:
            flags, packet, most = walk.ints("<III", inside + 88)
            live, packet = bool(flags & 1), packet if packet == most else 0
        inside += max(24, length)
    if walk.bytes(at, 16) != _ASF_DATA or live:
        return None
    (length,) = walk.ints("<Q", at + 16)
    if fault := walk.cut(at + length):
        return fault
    for place in range(at + 50, at + length if packet else 0, packet or 1):
        if walk.bytes(place, 12) == bytes(12):
            return _hole(place)
    return None


def _boxes(walk: _Walk) -> str | None:
    """MP4: its index is there, and the boxes of a fragmented one. (The demuxer reads the index.)"""
    at, fragmented, indexed = 0, False, False
    while at + 8 <= walk.size:
        length, name = walk.ints(">I", at)[0], walk.bytes(at + 4, 4)
        fragmented = fragmented or name == b"moof"
        if name == b"\0\0\0\0" and fragmented:
            return _hole(at)
        if length == 1:
            (length,) = walk.ints(">Q", at + 8)
        if length < 8:
            return None
        at += length
        # Single pictures have a meta box instead of a moov.
        indexed = indexed or fragmented or (name in (b"moov", b"meta") and at <= walk.size)
        if fragmented and name in (b"moof", b"mdat") and (fault := walk.cut(at)):
            return fault
    return None if indexed else "cut off or never finished: its index (moov) is not whole"
