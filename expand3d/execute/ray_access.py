"""The door of a Ray cluster: whether somebody answers, and the token that it asks for or not.

Both ends have to agree: a driver with a token cannot work in a cluster without, nor the reverse. So
the cluster is asked, by a child process, since a refusal fills Ray's own output and settles the
mode of the process that asks. Ray before 2.52 knows no tokens.

The names of Ray's that are private stand here alone, with a test that uses them all.
"""

from __future__ import annotations

import importlib
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast, get_args

from expand3d.core.errors import ConfigError
from expand3d.core.process import environment

#: Seconds that a cluster has to answer.
KNOCK = 10.0
#: Seconds that a child process has to import Ray and hear what the cluster says.
ASK = 60.0
#: Ray's own variables: "token" or "disabled", the token, and the file that holds it.
MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
DOCS = "docs/clusters.md"

Mode = Literal["token", "disabled"]
#: A cluster's answer: it lets in, it refuses the token or the lack of one, or Ray finds no token.
Answer = Literal["open", "refused", "no token"]

#: What a child process runs: one word on its last line, or Ray's error.
_QUESTION = """
import sys
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    ensure_token_if_auth_enabled(create_token_if_missing=False)
except AuthenticationError:
    print("no token")
    sys.exit()
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    print("refused")
else:
    print("open")
"""


@contextmanager
def admitted(address: str | None) -> Iterator[str]:
    """The address for `ray.init`; meanwhile Ray's variables are as the cluster wants them.

    OSError where nobody answers; ConfigError in one line where the cluster asks for a token that is
    not here. Without an address a cluster is to be started on this machine, with a token that ends
    with it: Ray would leave one in the home folder, and clusters started later would ask for it.
    """
    place = "local" if address is None else _found(address)
    if not knows_tokens():
        yield place
        return
    wanted: dict[str, str]
    if address is not None:
        wanted = {MODE: mode_of(place, os.environ, ask)}
    else:
        wanted = {} if _token_given() else {TOKEN: secrets.token_hex(32)}
    with _variables(wanted):
        yield place


def _found(address: str) -> str:
    """HOST:PORT of a cluster where somebody answers; Ray itself would ask for minutes."""
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        address = str(canonicalize_bootstrap_address(address))
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=KNOCK).close()
    return address


def knows_tokens() -> bool:
    """True where this version of Ray has token authentication."""
    from ray import exceptions

    return hasattr(exceptions, "AuthenticationError")


def _token_given() -> bool:
    # A mode other than "token" needs none; an empty variable counts as none to Ray.
    off = os.environ.get(MODE, "token").lower() != "token"
    return off or bool(os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH))


def mode_of(address: str, variables: Mapping[str, str], ask: Callable[[str, Mode], Answer]) -> Mode:
    """The mode in which the cluster at `address` lets this process in; ConfigError where none does.

    `ask` says what the cluster answers in a mode. One that the variables fix is kept.
    """
    fixed = variables.get(MODE)
    cluster = f"the Ray cluster at {address}"
    if fixed is not None and fixed.lower() == "disabled":
        if ask(address, "disabled") == "open":
            return "disabled"
        raise ConfigError(
            f"{cluster} asks for a token, and {MODE}=disabled keeps it back; unset it ({DOCS})"
        )
    if ask(address, "disabled") == "open":
        if fixed is None:
            return "disabled"
        raise ConfigError(
            f"{cluster} was started without a token, and {MODE}={fixed} wants one; unset it, or "
            f"start the cluster with it ({DOCS})"
        )
    answer = ask(address, "token")
    if answer == "open":
        return "token"
    if answer == "no token":
        raise ConfigError(
            f"{cluster} asks for a token, and there is none here; copy ~/.ray/auth_token from the "
            f"machine that started it, or set {TOKEN} ({DOCS})"
        )
    raise ConfigError(
        f"{cluster} refuses the token of {_origin(variables)}; copy ~/.ray/auth_token from the "
        f"machine that started it, or set {TOKEN} ({DOCS})"
    )


def _origin(variables: Mapping[str, str]) -> str:
    """The place where Ray found the token that it showed."""
    if variables.get(TOKEN):
        return TOKEN
    return variables.get(TOKEN_PATH) or "~/.ray/auth_token"


def ask(address: str, mode: Mode) -> Answer:
    """The answer of the cluster at `address` in that mode; OSError where there is no cluster."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _QUESTION, address],
            env={**environment(), MODE: mode},
            capture_output=True,
            text=True,
            timeout=ASK,
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"no answer after {ASK:g} s") from None
    said = child.stdout.strip().rpartition("\n")[2]
    for answer in get_args(Answer):
        if child.returncode == 0 and said == answer:
            return cast(Answer, answer)
    error = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
    raise OSError(error[-1])


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set Ray's variables of authentication, and leave all of them as they were."""
    before = {name: os.environ.get(name) for name in (MODE, TOKEN, TOKEN_PATH)}
    os.environ.update(values)
    _reread()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _reread()


def _reread() -> None:
    """Make Ray read its variables again; it keeps the mode and the token that it saw first."""
    inside: Any = importlib.import_module("ray._raylet")  # compiled: its types are not known
    inside.Config.initialize("")
    inside.AuthenticationTokenLoader.instance().reset_cache()
