"""Print a script that completes commands, flags and their values in your shell.

examples:
  eval "$(expand3d completion bash)"                        in ~/.bashrc
  expand3d completion zsh > ~/.zfunc/_expand3d              a folder of $fpath
  expand3d completion tcsh > ~/.expand3d.tcsh               and `source` it in ~/.tcshrc
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
#: Files or folders complete a value that the help calls so.
FILES = {"FILE", "FILE.csv", "FILE.png", "PATH"}
FOLDERS = {"DIR"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the argument of `expand3d completion`."""
    parser.add_argument("shell", choices=SHELLS, help="the shell that reads the script")


def main(args: argparse.Namespace) -> int:
    """Print the script; 0."""
    import shtab

    print(shtab.complete(whole_parser(), args.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands, with what completes their values."""
    import shtab

    from expand3d.cli.main import COMMANDS, DESCRIPTION
    from expand3d.cli.parser import Parser

    parser = Parser(prog="expand3d", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        importlib.import_module(module).add_arguments(command)
        command.epilog = None
    known = _known()
    for action in _actions(parser):
        word = action.metavar or action.dest
        if word in FILES | FOLDERS:
            files = shtab.FILE if word in FILES else shtab.DIRECTORY
            action.complete = files  # type: ignore[attr-defined]
        elif action.choices is None and action.dest in known:
            action.choices = known[action.dest]
    return parser


def _known() -> dict[str, Any]:
    """The names that a value is likely to be, by the argument's name; others stay legal."""
    from expand3d.networks import FAMILIES, all_presets

    families, presets = tuple(FAMILIES), tuple(all_presets())
    return {
        **{name: families for name in ("family", "families")},
        **{name: presets for name in ("preset", "presets", "start", "teacher_preset")},
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
