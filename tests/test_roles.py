"""Two models in one run: named in run.json, in each dialogue and on the card, and never mixed up in the journal."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from synthesis.__main__ import main
from synthesis.command import endpoints, named_models, parse
from synthesis.dialogue import from_json
from synthesis.engine import Info, Reply, Request, models_of
from synthesis.engines.connect import connect_roles
from synthesis.engines.journal import Journal
from synthesis.engines.retry import Backoff
from synthesis.engines.scripted import Scripted
from synthesis.errors import Outage, UserError
from synthesis.recipes.spc import HERE
from synthesis.run import run
from tests.fake_tgi import FakeTgi, Fault
from tests.toy_recipe import plan, talk

WRITER, JUDGE = Info("org/writer", "tgi", "abc"), Info("org/judge", "openai")
ASKED = Request("t", 5, prompt="hello")
ROOT = Path(__file__).resolve().parents[1]
URL, OTHER = "http://localhost:1", "http://localhost:2"


async def ran(folder: Path, **given: Any) -> dict[str, Any]:
    folder.mkdir()
    async with Journal(Scripted(talk), folder / "journal.sqlite", "m") as journal:
        return await run(plan(folder, info=WRITER, **given), journal, lambda *_: None)


async def test_both_models_are_named_where_there_are_two(tmp_path: Path) -> None:
    facts = await ran(tmp_path / "two", critic=JUDGE)
    assert (facts["model"], facts["revision"], facts["dialect"]) == ("org/writer", "abc", "tgi")
    assert facts["critic"] == {"model": "org/judge", "revision": None, "dialect": "openai"}
    row = json.loads((tmp_path / "two/dialogues.jsonl").read_text().splitlines()[0])
    assert (row["origin"]["model"], row["origin"]["critic"]) == ("org/writer", "org/judge")
    origin = from_json(row, "here").origin
    assert origin is not None
    assert origin.critic == "org/judge"


async def test_one_model_leaves_the_form_as_it_was(tmp_path: Path) -> None:
    facts = await ran(tmp_path / "one")
    assert "critic" not in facts
    assert "critic" not in (tmp_path / "one/run.json").read_text()
    assert "critic" not in json.loads((tmp_path / "one/dialogues.jsonl").read_text().splitlines()[0])["origin"]


@pytest.mark.parametrize(("there", "here"), [(None, JUDGE), (JUDGE, None), (JUDGE, Info("org/other", "openai"))])
def test_another_critic_is_another_run(tmp_path: Path, there: Info | None, here: Info | None) -> None:
    plan(tmp_path, critic=there).claim()
    plan(tmp_path, critic=there).claim()
    with pytest.raises(
        UserError, match=r"holds another run; .*critic|model is 'org/judge' there and 'org/other' here"
    ):
        plan(tmp_path, critic=here).claim()


async def test_the_journal_keeps_the_models_apart(tmp_path: Path) -> None:
    models = models_of({"generator": WRITER, "critic": JUDGE})
    assert models == {"generator": "org/writer@abc", "critic": "org/judge"}
    assert models_of({"generator": WRITER, "critic": WRITER}) == "org/writer@abc"
    script = Scripted(["as writer", "as judge"])
    critic = Request("t", 5, prompt="hello", role="critic")
    async with Journal(script, tmp_path / "journal.sqlite", models) as journal:
        assert [(await journal(asked)).text for asked in (ASKED, critic, ASKED)] == [
            "as writer",
            "as judge",
            "as writer",
        ]
    assert len(script.requests) == 2

    async def nobody(request: Request) -> Reply:
        raise AssertionError("it is in the journal")

    async with Journal(nobody, tmp_path / "journal.sqlite", "org/writer@abc") as journal:
        assert (await journal(ASKED)).text == "as writer", "the same names as in a run with one model"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], {}),
        (["--endpoint", URL], {"generator": [URL], "critic": [URL]}),
        (["--endpoint", URL, f"--endpoint={OTHER}"], {"generator": [URL, OTHER], "critic": [URL, OTHER]}),
        (["--endpoint", URL, "--critic-endpoint", OTHER], {"generator": [URL], "critic": [OTHER]}),
        (["--generator-endpoint", URL, "--critic-endpoint", OTHER], {"generator": [URL], "critic": [OTHER]}),
    ],
)
def test_endpoints_by_role(arguments: list[str], found: dict[str, list[str]]) -> None:
    assert endpoints(parse(["spc", *arguments])[0]) == found


@pytest.mark.parametrize(("role", "other"), [("generator", "critic"), ("critic", "generator")])
def test_a_role_without_endpoint_is_told(role: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spc", f"--{other}-endpoint", URL]) == 2
    assert f"no endpoint for the {role}: give --{role}-endpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], (None, None)),
        (["--model", "m"], ("m", "m")),
        (["--endpoint", URL, "--model", "m", "--critic-model", "c"], ("m", "c")),
        (["--endpoint", URL, "--generator-model", "g", "--critic-model", "c"], ("g", "c")),
        (["--endpoint", URL, "--generator-model", "g"], ("g", None)),
    ],
)
def test_models_by_role(arguments: list[str], found: tuple[str | None, str | None]) -> None:
    assert tuple(named_models(parse(["spc", *arguments])[0]).values()) == found


@pytest.mark.parametrize("role", ["generator", "critic"])
def test_a_model_for_one_role_needs_an_endpoint(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spc", f"--{role}-model", "org/judge", "--model", "org/writer"]) == 2
    assert f"--{role}-model org/judge: the embedded server has one model" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--model", "--generator-model", "--critic-model"])
def test_a_replay_names_no_model(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spc", "--replay", flag, "org/judge"]) == 2
    assert "--replay asks nobody" in capsys.readouterr().err


BY_ROLE = {"generator": "org/writer", "critic": "org/judge"}


def both(url: str) -> dict[str, list[str]]:
    return {role: [url] for role in BY_ROLE}


async def test_two_models_of_one_server_share_its_places() -> None:
    models = (*BY_ROLE.values(), "org/other")
    async with (
        FakeTgi(dialects=("openai",), models=models, latency=0.005) as server,
        connect_roles(both(server.url), model=BY_ROLE, environ={}, concurrency=3) as (engine, infos),
    ):
        assert {role: info.model for role, info in infos.items()} == BY_ROLE
        assert models_of(infos) == BY_ROLE
        asked = [Request("t", 5, prompt=f"{role} {n}", role=role) for n in range(8) for role in BY_ROLE]
        await asyncio.gather(*map(engine, asked))
    bodies = server.asked("/v1/completions")
    assert {(body["prompt"].split()[0], body["model"]) for body in bodies} == set(BY_ROLE.items())
    assert (len(bodies), server.most_at_once) == (16, 3)


@pytest.mark.parametrize(
    ("dialect", "says"),
    [("openai", r"no model 'org/judge'; it has org/writer"), ("tgi", "serves 'org/writer', not 'org/judge'")],
)
async def test_a_model_that_is_not_there_is_told(dialect: str, says: str) -> None:
    async with FakeTgi(dialects=(dialect,), models=("org/writer",)) as server:
        with pytest.raises(UserError, match=says):
            async with connect_roles(both(server.url), model=BY_ROLE, environ={}):
                pass


async def test_a_model_that_is_unloaded_stops_the_run() -> None:
    backoff = Backoff(first=0.001, longest=0.01, patience=0.3)
    async with (
        FakeTgi(dialects=("openai",), models=tuple(BY_ROLE.values())) as server,
        connect_roles(both(server.url), model=BY_ROLE, environ={}, backoff=backoff) as (engine, _),
    ):
        await engine(Request("t", 5, prompt="p", role="critic"))
        server.faults += [Fault(path="/v1/completions", status=404, body={"error": {"message": "not loaded"}})] * 9
        with pytest.raises(Outage, match=r"404 not loaded.*start the same command again"):
            await engine(Request("t", 5, prompt="p", role="critic"))


@pytest.mark.timeout(300)  # the encoder's library alone takes half a minute to import on a busy machine
def test_a_run_with_two_models_from_the_command_line_to_its_replay(tmp_path: Path) -> None:
    folder, fields = tmp_path / "run", {"rounds": 1, "profiles": 30, "cluster-size": 12, "candidates": 2, "n": 4}
    small = {"growth": 0.02, "query-steps": 0, "iterations": 1, "exemplars-per-prompt": 1, "in-flight": 4}
    given = [f"--{name}={value}" for name, value in (fields | small).items()] + [f"--out={folder}"]
    personas = tmp_path / "personas.jsonl"
    personas.write_text("".join((HERE / "spc_personas.jsonl").read_text().splitlines(keepends=True)[:60]))
    given.append(f"--personas={personas}")
    with clerk(tmp_path / "writer.log", "org/writer") as writer, clerk(tmp_path / "judge.log", "org/judge") as judge:
        assert main(["spc", f"--generator-endpoint={writer}", f"--critic-endpoint={judge}", *given]) == 0
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["model"], facts["critic"]["model"]) == ("org/writer", "org/judge")
    asked = {
        role: sum(at["requests"] for at in facts["stages"] if at["role"] == role) for role in ("generator", "critic")
    }
    for role, log in (("generator", "writer.log"), ("critic", "judge.log")):
        assert len((tmp_path / log).read_text().splitlines()) == asked[role] > 0
    before = (folder / "dialogues.jsonl").read_bytes()
    assert before.count(b'"critic": "org/judge"') == facts["counts"]["kept"] > 0
    assert main(["spc", "--replay", *given]) == 0
    assert (folder / "dialogues.jsonl").read_bytes() == before


def test_a_mistake_before_the_first_call_leaves_the_folder_free(tmp_path: Path) -> None:
    with clerk(tmp_path / "log", "org/writer") as writer, socket.create_server(("127.0.0.1", 0)) as taken:
        given = [f"--endpoint={writer}", f"--out={tmp_path / 'run'}", f"--metrics-port={taken.getsockname()[1]}"]
        assert main(["spc", *given]) == 2
    assert not (tmp_path / "run/run.json").exists()
    assert not (tmp_path / "log").read_text()


@contextmanager
def clerk(log: Path, model: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.clerk_server", "--log", str(log), "--model", model]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("text", ["-1", "soon", "nan", "inf"])
def test_patience_is_a_number_of_seconds(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["spc", "--patience", text])
    assert f"got '{text}', expected a number of seconds" in capsys.readouterr().err
    assert parse(["spc", "--patience", "0.5"])[0].patience == 0.5
