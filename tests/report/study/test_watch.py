"""The page that is served while a study runs: on this machine alone, and new on news."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ConfigError, StudyError
from expand3d.report.study import watch
from expand3d.report.study.view import load_view
from expand3d.report.study.watch import Pages, Server
from expand3d.study.record import Record
from tests.helpers import ROOT


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    root = tmp_path_factory.mktemp("studies") / "copy"
    shutil.copytree(ROOT / "tests/assets/records/v0.1/studies", root)
    return Record.open("finished", root=root)


@pytest.fixture
def server(record: Record, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The study's page; no look at the record is followed by a rest."""
    monkeypatch.setattr(watch, "REST", 0.0)
    root = record.folder.path.parent
    with Server(Pages(lambda: load_view("finished", root=root))) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def get(server: Server, path: str = "", **headers: str) -> str:
    asked = urllib.request.Request(server.address + path, headers=headers)
    with urllib.request.urlopen(asked) as answer:
        found: str = answer.read().decode()
        return found


def version(server: Server) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(get(server, "version"))
    return found


def test_the_page_is_new_when_the_study_has_news(server: Server, record: Record) -> None:
    before = version(server)
    assert before == version(server)
    assert f'"version":"{before["version"]}"' in get(server)
    first = record.trials()[0]
    record.begin(first.candidate, first.cost, first.provenance)
    after = version(server)
    assert after["version"] != before["version"] and after["trouble"] is None
    page = get(server)
    assert f'"version":"{after["version"]}"' in page
    assert f'"number":{len(record.trials()) - 1}' in page


def test_a_record_that_is_gone_leaves_the_last_page(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = get(server)

    def lost() -> None:
        raise StudyError("no study called 'finished'")

    monkeypatch.setattr(server.pages, "_load", lost)
    assert version(server)["trouble"] == "no study called 'finished'"
    assert get(server) == before


def test_this_machine_alone_is_served(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for host in ("evil.example:80", "10.0.0.1", ""):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(server, Host=host)
        assert refused.value.code == 403
    assert get(server, Host=f"localhost:{server.server_port}")
    with pytest.raises(urllib.error.HTTPError) as missing:
        get(server, "../study.db")
    assert missing.value.code == 404


def test_a_port_that_is_taken_is_named(server: Server) -> None:
    with pytest.raises(ConfigError, match=f"--port {server.server_port}: .*leave it out"):
        Server(server.pages, server.server_port)
    with pytest.raises(ConfigError, match="--port 70000: ports end at 65535"):
        Server(server.pages, 70000)


def test_a_look_is_followed_by_a_rest(
    server: Server, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "REST", 1e9)
    before = version(server)
    first = record.trials()[0]
    record.begin(first.candidate, first.cost, first.provenance)
    assert version(server) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hern", "--watch"], "hern"),
        (["a", "b", "--watch"], "--watch shows one study"),
        (["a", "--watch", "--json"], "leave out --json"),
        (["a", "--port", "8000"], "--port is that of --watch"),
        (["--watch"], "report needs a study's NAME"),
        (["--published", "--watch"], "needs a study's NAME"),
        (["a", "--watch", "--port", "x"], "a whole number of at least 1"),
    ],
)
def test_mistakes(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", *words, "--root", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
