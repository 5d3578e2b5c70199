"""Rows and kinds of what can be plugged in; `plugins` is the page that holds them all."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

from expand3d.core.errors import UserError, nearest


@dataclass(frozen=True)
class Row:
    """One thing that can be named: `target` is "module:attribute", loaded when it is asked for.

    `keys` are the keys of a study that do nothing without a row which names them. `options` are the
    keywords of a writer or a layout.

    The rest is for export targets. `rebuilds`: it builds a network of its own, whose counts may
    differ from ours. `trained_only`: it refuses a network without weights. `needs`: packages
    without which it writes nothing. `speller` is what refuses plans; without one it writes every
    network. `quantises`: what it writes can be put into 8 bits.
    `verifier` compares what was written with our network, by the packages `verified_by`, or by a
    checkout that the user has (`in_repo`). `extra` is that of ours which brings what a runtime
    needs.
    """

    target: str
    help: str
    keys: tuple[str, ...] = ()
    rebuilds: bool = False
    trained_only: bool = False
    needs: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    speller: str = ""
    quantises: bool = False
    verifier: str = ""
    verified_by: tuple[str, ...] = ()
    in_repo: bool = False
    extra: str = ""


def load_target(target: str) -> Any:
    """The object that "module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True)
class Kind(Mapping[str, Row]):
    """The rows of one kind by name; others are found by `package.module:Name` or entry point.

    Of a kind of `objects` a class may be named in place of its one object.
    """

    noun: str
    group: str
    error: type[UserError]
    rows: Mapping[str, Row] = field(repr=False)
    objects: bool = False

    def __getitem__(self, name: str) -> Row:
        return self.rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __hash__(self) -> int:
        return hash(self.group)

    def row(self, name: str) -> Row:
        """The row called `name`, ours or the user's; the kind's error names the nearest."""
        if name in self.rows:
            return self.rows[name]
        if ":" in name:
            return Row(name, f"{name}, which is not one of ours")
        for point in metadata.entry_points(group=self.group, name=name):
            return Row(point.value, f"{name}, of an installed package")
        raise self.error(f"unknown {self.noun} {name!r}{nearest(name, self.rows)}")

    def load(self, name: str) -> Any:
        """The object called `name`; the kind's error says what is missing where it cannot load."""
        target = self.row(name).target
        if name in self.rows:
            return _ours(target)
        try:
            found = load_target(target)
            return _object(found) if self.objects and isinstance(found, type) else found
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise self.error(f"{self.noun} {name!r} cannot be loaded: {error}") from None

    def everyone(self) -> tuple[str, ...]:
        """The names of what installed packages offer, then ours."""
        installed = (point.name for point in metadata.entry_points(group=self.group))
        return (*dict.fromkeys(sorted(name for name in installed if name not in self.rows)), *self)

    def using(self, key: str) -> tuple[str, ...]:
        """The names of the rows that use a key of a study; empty where everybody does."""
        return tuple(name for name, row in self.rows.items() if key in row.keys)


@cache
def _ours(target: str) -> Any:
    """The object of a row of this page; a search asks for its family a hundred thousand times."""
    return load_target(target)


@cache
def _object(kind: type) -> Any:
    """The one object of a class; TypeError where it cannot be made without arguments."""
    return kind()
