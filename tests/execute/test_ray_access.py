"""Drivers that are let into a Ray cluster: with a token, without one, and with the wrong one."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.process import environment
from expand3d.execute import get_executor
from expand3d.execute.base import Setting
from expand3d.execute.ray_access import MODE, TOKEN, TOKEN_PATH, Answer, Mode, admitted, mode_of
from tests.helpers.ray_head import ray_head
from tests.helpers.stages import Stage, Told

SLOW = pytest.mark.slow
OPEN: Mapping[Mode, Answer] = {"disabled": "open", "token": "open"}
CLOSED: Mapping[Mode, Answer] = {"disabled": "refused", "token": "open"}
WRONG: Mapping[Mode, Answer] = {"disabled": "refused", "token": "refused"}
NOTHING_HERE: Mapping[Mode, Answer] = {"disabled": "refused", "token": "no token"}


def mode(answers: Mapping[Mode, Answer], **variables: str) -> Mode:
    return mode_of("head:6379", variables, lambda address, mode: answers[mode])


@pytest.mark.parametrize(
    ("answers", "variables", "expected"),
    [
        (OPEN, {}, "disabled"),  # a driver with a token cannot work in a cluster without
        (OPEN, {TOKEN: "a" * 64}, "disabled"),
        (OPEN, {MODE: "disabled"}, "disabled"),
        (CLOSED, {}, "token"),
        (CLOSED, {MODE: "token"}, "token"),
        (CLOSED, {MODE: "TOKEN"}, "token"),
    ],
)
def test_the_mode_is_the_cluster_s(
    answers: Mapping[Mode, Answer], variables: dict[str, str], expected: Mode
) -> None:
    assert mode(answers, **variables) == expected


@pytest.mark.parametrize(
    ("answers", "variables", "said"),
    [
        (NOTHING_HERE, {}, "asks for a token, and there is none here; copy ~/.ray/auth_token"),
        (WRONG, {}, "refuses the token of ~/.ray/auth_token; copy"),
        (WRONG, {TOKEN_PATH: "/etc/ray"}, "refuses the token of /etc/ray; copy"),
        (WRONG, {TOKEN: "ab", TOKEN_PATH: "/etc/ray"}, "refuses the token of RAY_AUTH_TOKEN; copy"),
        (CLOSED, {MODE: "disabled"}, "asks for a token, and RAY_AUTH_MODE=disabled keeps it back"),
        (OPEN, {MODE: "token"}, "started without a token, and RAY_AUTH_MODE=token wants one"),
    ],
)
def test_who_is_not_let_in_hears_why_in_one_line(
    answers: Mapping[Mode, Answer], variables: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        mode(answers, **variables)
    assert "the Ray cluster at head:6379" in str(refused.value) and said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.fixture
def own_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home folder without a token, and none of Ray's variables."""
    for name in (MODE, TOKEN, TOKEN_PATH, "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path


def test_a_cluster_of_this_process_has_a_token_that_ends_with_it(own_variables: Path) -> None:
    with admitted(None) as place:
        assert place == "local"
        first = os.environ[TOKEN]
        os.environ[MODE] = "token"  # as `ray.init` sets it, for good
    with admitted(None):
        assert len(first) == len(os.environ[TOKEN]) == 64 and first != os.environ[TOKEN]
    assert not {MODE, TOKEN, TOKEN_PATH} & set(os.environ)
    assert not (own_variables / ".ray").exists()


def test_a_token_that_was_given_is_kept(
    own_variables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, "ab" * 32)
    with admitted(None):
        assert os.environ[TOKEN] == "ab" * 32
    monkeypatch.delenv(TOKEN)
    monkeypatch.setenv(MODE, "disabled")
    with admitted(None):
        assert TOKEN not in os.environ


def test_an_address_where_nobody_is_names_no_cluster(own_variables: Path) -> None:
    with socket.socket() as taken:  # bound, not listening
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="refused"), admitted(address):
            pass


def test_ray_still_has_the_private_names_that_are_used() -> None:
    import ray
    from ray._private.authentication import authentication_token_setup
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import AuthenticationTokenLoader, Config, GcsClient

    names = (
        canonicalize_bootstrap_address,
        authentication_token_setup.ensure_token_if_auth_enabled,
        AuthenticationTokenLoader.instance().reset_cache,
        Config.initialize,
        GcsClient,
        ray.exceptions.AuthenticationError,
    )
    assert all(map(callable, names)), f"Ray {ray.__version__}: look at expand3d/execute/ray_access"


def give_token(home: Path, token: str) -> None:
    home.mkdir(exist_ok=True)
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text(token)


def train_at(address: str, folder: Path) -> dict[str, Any]:
    """The ends of two trainings on the cluster, whose driver is a process of its own."""
    folder.mkdir()
    child = subprocess.run(
        [sys.executable, "-m", "tests.helpers.at_cluster", address, str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return dict(json.loads(child.stdout.splitlines()[-1]))


@SLOW
@pytest.mark.parametrize("asks", [False, True])
def test_a_cluster_of_another_process_trains_with_and_without_a_token(
    asks: bool, own_variables: Path
) -> None:
    """And a token of this user's own does not keep it out of a cluster that has none."""
    token = secrets.token_hex(32)
    theirs = own_variables / "theirs"
    theirs.mkdir()
    if asks:
        give_token(theirs, token)
    give_token(own_variables, token)
    with ray_head(theirs) as address:
        told = train_at(address, own_variables / "study")
    assert told == {"failures": [None, None], "statuses": ["ok"], "variables": []}


@SLOW
def test_a_cluster_that_asks_for_a_token_refuses_in_one_line(own_variables: Path) -> None:
    theirs = own_variables / "theirs"
    give_token(theirs, secrets.token_hex(32))
    command = "from expand3d.execute import get_executor; from expand3d.execute.base import Setting"
    command += "; from pathlib import Path; import sys"
    command += "\ntry: get_executor('ray', Setting(Path(), address=sys.argv[1])).__enter__()"
    command += "\nexcept Exception as error: print(type(error).__name__, error)"

    def said(address: str) -> str:
        child = subprocess.run(
            [sys.executable, "-c", command, address],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert not child.stderr, "Ray's own lines"
        return child.stdout

    with ray_head(theirs) as address:
        none = said(address)
        give_token(own_variables, secrets.token_hex(32))
        wrong = said(address)
    start = f"ConfigError the Ray cluster at {address} "
    assert none.startswith(f"{start}asks for a token, and there is none here; ")
    assert wrong.startswith(f"{start}refuses the token of ~/.ray/auth_token; ")
    assert none.count("\n") == wrong.count("\n") == 1


@SLOW
def test_a_local_run_leaves_no_token_behind(own_variables: Path) -> None:
    folder = own_variables / "study"
    folder.mkdir()
    stage, told = Stage(folder, ["train"]), Told()
    with get_executor("ray", Setting(folder)) as executor:
        executor.run(stage.assignments(), told, lambda: False)
    assert told.ended_ == {0: None}
    assert not (own_variables / ".ray").exists()
