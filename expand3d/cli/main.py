"""The `expand3d` command: finds the subcommand's module, imports that alone, runs it."""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from expand3d.cli.parser import Parser
from expand3d.core.errors import UserError, nearest
from expand3d.core.version import __version__

#: name -> (module with add_arguments(parser) and main(args) -> exit status, one line of help)
COMMANDS = {
    "run": ("expand3d.cli.run", "find the best network inside a budget"),
    "resume": ("expand3d.cli.resume", "continue a study that was stopped or killed"),
    "tabulate": ("expand3d.cli.tabulate", "train all that a search may come to into a table"),
    "compare": ("expand3d.cli.compare", "strategies on a table, many times over"),
    "worker": ("expand3d.cli.worker", "join a study as one of many workers"),
    "baselines": ("expand3d.cli.baselines", "published networks, trained into a study's record"),
    "status": ("expand3d.cli.status", "one study: its state, best network and trials"),
    "studies": ("expand3d.cli.studies", "list the studies here"),
    "pareto": ("expand3d.cli.pareto", "the accuracy/cost frontier of a study"),
    "advise": ("expand3d.cli.advise", "what limits a study: clips, length, size or training"),
    "report": ("expand3d.cli.report", "frontier as CSV, pictures and a page"),
    "pretrain": ("expand3d.cli.pretrain", "a 3D network taught by a frozen 2D one, without labels"),
    "train": ("expand3d.cli.train", "one network in full: of a study, a preset or a file"),
    "eval": ("expand3d.cli.evaluate", "a trained network's accuracy by multi-view tests"),
    "predict": ("expand3d.cli.predict", "labels of videos, a camera or a pipe"),
    "export": ("expand3d.cli.export", "a network for another codebase, with its weights"),
    "import": ("expand3d.cli.import_", "weights of another codebase, under our names"),
    "latency-kit": ("expand3d.cli.latency_kit", "networks to time on another device"),
    "cost": ("expand3d.cli.cost", "multiply-adds, parameters and activations of a network"),
    "presets": ("expand3d.cli.presets", "the published networks, computed beside printed"),
    "replay": ("expand3d.cli.replay", "the paper's expansion, re-enacted by the real driver"),
    "data": ("expand3d.cli.data", "check, show and split labelled videos"),
    "cache": ("expand3d.cli.cache", "show, prune and empty the cache of decoded clips"),
    "schema": ("expand3d.cli.schema", "the JSON schema of study files, for editors"),
    "completion": ("expand3d.cli.completion", "a script that completes commands in your shell"),
}
#: Flags of `expand3d` itself.
FLAGS = ("--help", "--version")

DESCRIPTION = "Finds the video-recognition network that is most accurate inside your budget."


def _help() -> str:
    rows = "\n".join(f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"usage: expand3d COMMAND ...\n\n{DESCRIPTION}\n\ncommands:\n{rows}\n\n"
        "examples:\n"
        "  expand3d run --budget 0.1GFLOPs                 on the bundled clips\n"
        "  expand3d run --budget 4GFLOPs --data videos/    on your own\n"
        "  expand3d cost --preset x3d-s\n\n"
        "expand3d COMMAND --help explains a command; --version prints the version."
    )


def parser_for(name: str) -> Parser:
    """The argument parser of one subcommand; imports that subcommand's module."""
    module = importlib.import_module(COMMANDS[name][0])
    parser = Parser(prog=f"expand3d {name}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


#: What the system says of a place that is full, forbidden or none, not of a mistake of ours.
PLACES = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EIO", "ENAMETOOLONG")
    if hasattr(errno, name)
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 2 a user's mistake (one line on stderr), 130 stopped by Ctrl-C."""
    # What a command reads stays until it ends: looking for garbage in it took a third of the time.
    gc.set_threshold(100_000, 50, 50)
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else "--help"
    try:
        if name in ("-h", "--help", "help", "--version"):
            print(f"expand3d {__version__}" if name == "--version" else _help(), flush=True)
            return 0
        if name not in COMMANDS:
            kind, known = ("flag", FLAGS) if name.startswith("-") else ("command", COMMANDS)
            raise UserError(f"unknown {kind} {name!r}{nearest(name, known)}")
        args = parser_for(name).parse_args(words[1:])
        status = int(importlib.import_module(COMMANDS[name][0]).main(args))
        sys.stdout.flush()
        return status
    except UserError as error:
        about = f"expand3d {name}" if name in COMMANDS else "expand3d"
        print(f"{about}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in PLACES:
            raise
        about = f"expand3d {name}" if name in COMMANDS else "expand3d"
        print(f"{about}: {_unwritten(error)}", file=sys.stderr)
        return 2


def _unwritten(error: OSError) -> str:
    """The words of an error about a place; standard output, where that is it, is given up."""
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())  # or its end would fail as well
    return f"what it says or writes has no place: {error.strerror}"
