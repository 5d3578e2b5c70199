"""The argument parser of every command: mistakes are one line, help is coloured in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from expand3d.core.errors import UserError, nearest

#: A command with more flags than this is summed up in its usage line.
FEW = 8


class UsageError(UserError):
    """Words on the command line that the command does not know or cannot read."""


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and exit."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """The namespace, and no words that are left; argparse parses subcommands through this."""
        # Before all else: argparse names a required flag as missing where it was only misspelt.
        self._refuse_unknown_flags(args or ())
        parsed, extra = super().parse_known_args(args, namespace)
        if extra:
            raise UsageError(f"unexpected argument {extra[0]!r} ({self.prog} --help)")
        return parsed, []

    def _refuse_unknown_flags(self, words: Sequence[str]) -> None:
        for word in words:
            if word == "--" or self._subparsers is not None:
                return  # the rest is no flag, or a subcommand's own parser judges it
            flag = word.partition("=")[0]
            if word.startswith("--") and not any(known.startswith(flag) for known in self.flags()):
                raise UsageError(f"unknown flag {flag!r}{closest(flag, self.flags(), self.prog)}")

    def flags(self) -> tuple[str, ...]:
        """Every long flag of this command."""
        listed = [flag for action in self._actions for flag in action.option_strings]
        return tuple(flag for flag in listed if flag.startswith("--"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        own = isinstance(value, str) and ":" in value  # package.module:NAME, judged where it loads
        if action.choices is not None and value not in action.choices and not own:
            raise argparse.ArgumentError(
                action,
                f"{value!r} must be one of {', '.join(map(str, action.choices))}"
                f"{guess(str(value), map(str, action.choices))}",
            )

    def error(self, message: str) -> NoReturn:
        """Raise the message as one line."""
        text = message.removeprefix("argument ").replace("\n", " ")
        missing = text.startswith("the following arguments are required")
        raise UsageError(text + (f" ({self.prog} --help)" if missing else ""))

    def format_help(self) -> str:
        """The help text, coloured where standard output is a terminal."""
        # Imported here because rich takes longer to load than most commands take to parse.
        from rich_argparse import RawDescriptionRichHelpFormatter

        class Formatter(RawDescriptionRichHelpFormatter):
            """The texts hold brackets that are no markup."""

            text_markup = help_markup = False
            group_name_formatter = str

        self.formatter_class = Formatter
        if self.usage is None and len(self.flags()) > FEW:
            self.usage = self._short_usage()
        return super().format_help()

    def _short_usage(self) -> str:
        """The words that a call needs, and `[options]` for all others."""
        words = ["%(prog)s", "[options]"]
        for action in self._actions:
            if action.option_strings and action.required:
                value = action.metavar or action.dest.upper()
                words.append(f"{action.option_strings[0]} {value}")
            elif not action.option_strings:
                name = str(action.metavar or action.dest)
                shown = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
                words.append(shown.get(str(action.nargs), name))
        return " ".join(words)


def guess(value: str, choices: Iterable[str]) -> str:
    """The text " (did you mean X?)", or nothing where no choice is near."""
    hint = nearest(value, choices)
    return hint if "did you mean" in hint else ""


def closest(flag: str, flags: Sequence[str], command: str) -> str:
    """The nearest flag as a question; where none is near, the command that lists them."""
    return guess(flag, flags) or f" ({command} --help lists them)"


def whole(low: int | None = None) -> Callable[[str], int]:
    """A reader of whole numbers of at least `low`, for `type=`; of any without it."""
    legal = "a whole number" + ("" if low is None else f" of at least {low}")

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} must be {legal}") from None
        if low is not None and value < low:
            raise argparse.ArgumentTypeError(f"{text!r} must be {legal}")
        return value

    return read


def number(low: float, high: float = float("inf")) -> Callable[[str], float]:
    """A reader of numbers above `low` and below `high`, for `type=`."""
    legal = f"a number above {low:g}" + (f" and below {high:g}" if high < float("inf") else "")

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = low
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"{text!r} must be {legal}")
        return value

    return read
