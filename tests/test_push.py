"""Checking a dataset folder, and pushing it to a Hub: what lands, what is refused, and what is survived."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders.build import build
from builders.hub_dataset import Dataset, check, schema_changes
from builders.hub_folder import front_matter, layout
from builders.hub_patience import Patience, explain, ordered_wait, transient
from builders.hub_repo import fingerprint, source_of
from synthesis.errors import BuildError, ParleyError, StorageError, UserError
from tests.hub import Account, Hub
from tests.hub_store import Blob, Repo
from tests.push_orders import Ask, worker
from tests.run_folder import run_folder

TOKENS = {
    "hf_me_secret": Account("me", orgs=("org",)),
    "hf_other": Account("other"),
    "hf_read": Account("me", orgs=("org",), write=False),
}
CONFIGS = {"default": {"train": 6, "test": 2}, "messages": {"train": 6}}


def dist(
    folder: Path, configs: dict[str, dict[str, int]] | None = None, *, column: str = "text", body: str = "Words.\n"
) -> Path:
    """A Hub-ready folder: config, split, rows; each row numbers itself in `column`."""
    from datasets import Dataset

    head: list[dict[str, Any]] = []
    for config, splits in (CONFIGS if configs is None else configs).items():
        place = "data" if config == "default" else config
        head.append(
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{place}/{split}-*.parquet"} for split in splits],
            }
        )
        for split, rows in splits.items():
            file = folder / place / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            columns = {"id": list(range(rows)), column: [f"{config} {split} {row}" for row in range(rows)]}
            Dataset.from_dict(columns).to_parquet(file)
    head[0]["default"] = True
    front = yaml.safe_dump({"license": "mit", "configs": head}, sort_keys=False)
    (folder / "README.md").write_text(f"---\n{front}---\n# A set\n\n{body}")
    return folder


READER = """
import json, os, sys
from datasets import load_dataset
told = {"rows": {split: data.num_rows for split, data in load_dataset("org/chats").items()}}
told["more"] = load_dataset("org/chats", "messages", split="train")[0]
told["streamed"] = [row["text"] for row in load_dataset("org/chats", split="test", streaming=True)]
json.dump(told, sys.stdout)
sys.stdout.flush()
os._exit(0)  # now and then pyarrow's threads abort the interpreter at its end: issue 7566 of huggingface/datasets
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub(tokens=dict(TOKENS)) as running:
        yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def ask(hub: Hub, home: Path) -> Iterator[Ask]:
    with worker(hub, home, "hf_me_secret") as order:
        yield order


def held(repo: Repo, revision: str = "main") -> dict[str, bytes]:
    return {path: blob.content for path, blob in repo.at(revision).files.items() if path != ".gitattributes"}


def already_there(hub: Hub, folder: Path, repo: str) -> Repo:
    """A repository of the Hub that holds `folder`, as an earlier push left it."""
    made = hub.store.create("datasets", repo, "me")
    for path, content in on_disk(folder).items():
        made.put(path, content, author="me")
    return made


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- checking ---------------------------------------------------------------------------------------------------------


def test_check_counts_every_split_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = dist(tmp_path / "set", body="![f](figures/turns.png) and `extra/terms.txt`.\n")
    for path in ("figures/turns.png", "extra/terms.txt"):
        (folder / path).parent.mkdir()
        (folder / path).write_bytes(b"x")
    before = on_disk(folder)
    assert check(folder) == CONFIGS
    assert on_disk(folder) == before


def spoil_foreign(folder: Path) -> None:
    (folder / ".env").write_text("HF_TOKEN=1")
    (folder / "data" / "stray.parquet").write_bytes(b"PAR1")


def spoil_link(folder: Path) -> None:
    (folder / "data" / "link").symlink_to("/etc/hostname")


def spoil_columns(folder: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"id": ["a"], "text": ["b"]}).to_parquet(folder / "data" / "train-00001-of-00002.parquet")


def spoil_parquet(folder: Path) -> None:
    (folder / "data" / "test-00000-of-00001.parquet").write_bytes(b"not parquet")


def spoil_info(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    info = (
        "dataset_info:\n- config_name: default\n  features:\n  - {name: id, dtype: string}\n"
        "  - {name: text, dtype: string}\n"
    )
    (folder / "README.md").write_text(text.replace("license: mit\n", "license: mit\n" + info))


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (spoil_foreign, UserError, r"\.env, data/stray\.parquet"),
        (spoil_link, UserError, "symbolic link"),
        (spoil_columns, BuildError, "'id' is int64 in data/train-00000.* and string in data/train-00001"),
        (spoil_parquet, BuildError, "cannot be read as Parquet"),
        (spoil_info, BuildError, "out of date"),
        (lambda folder: (folder / "README.md").unlink(), UserError, "no README.md"),
        (lambda folder: (folder / "README.md").write_text("# no head"), BuildError, "no YAML front matter"),
        (lambda folder: (folder / "data/test-00000-of-00001.parquet").unlink(), BuildError, "matches no Parquet file"),
    ],
)
def test_check_refuses(tmp_path: Path, spoil: Callable[[Path], object], kind: type[ParleyError], said: str) -> None:
    folder = dist(tmp_path, {"default": {"train": 3, "test": 1}})
    spoil(folder)
    with pytest.raises(kind, match=said):
        check(folder)


def test_check_refuses_an_empty_split(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no rows in default/test"):
        check(dist(tmp_path, {"default": {"train": 3, "test": 0}}))


def test_front_matter_with_an_impossible_date_is_our_error() -> None:
    with pytest.raises(BuildError, match="not valid YAML"):
        front_matter("---\nmade: 2026-99-99\n---\n")


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ([], "no `configs` list"),
        ([{"data_files": "a"}], "needs a config_name"),
        ([{"config_name": "a"}], "names no data_files"),
        ([{"config_name": "a", "data_files": [{"split": "held-out", "path": "x"}]}], "held-out"),
        ([{"config_name": "a", "data_files": "../x.parquet"}], "outside the folder"),
        ([{"config_name": "a", "data_files": [{"split": "train"}]}], "must give split and path"),
        ([{"config_name": "a", "data_files": "x"}, {"config_name": "a", "data_files": "y"}], "twice"),
    ],
)
def test_layout_refuses(configs: list[object], said: str) -> None:
    with pytest.raises(BuildError, match=said):
        layout(f"---\n{yaml.safe_dump({'configs': configs})}---\n", [])


def test_layout_reads_every_form_of_data_files() -> None:
    forms = [
        {"config_name": "one", "data_files": "a/*.parquet"},
        {"config_name": "two", "data_files": ["b/**/x?.parquet", "./c/[01].parquet"]},
        {"config_name": "three", "data_files": {"dev": "a/*.parquet", "test": ["d/**"]}},
    ]
    paths = [
        "a/1.parquet",
        "a/deep/1.parquet",
        "a/1.txt",
        "b/x1.parquet",
        "b/p/q/x2.parquet",
        "b/x12.parquet",
        "c/0.parquet",
        "c/2.parquet",
        "d/e/f.parquet",
        "LICENSE",
    ]
    found = layout(f"---\n{yaml.safe_dump({'configs': forms})}---\nSee ./LICENSE, not a/1.txt.old\n", paths)
    assert found.configs == {
        "one": {"train": ("a/1.parquet",)},
        "two": {"train": ("b/p/q/x2.parquet", "b/x1.parquet", "c/0.parquet")},
        "three": {"dev": ("a/1.parquet",), "test": ("d/e/f.parquet",)},
    }
    assert found.foreign == ("a/1.txt", "a/deep/1.parquet", "b/x12.parquet", "c/2.parquet")


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none(), min_size=1))
def test_front_matter_reads_back_what_was_written(text: str, head: dict[str, object]) -> None:
    assert front_matter(f"---\n{yaml.safe_dump(head)}---\n{text}") == head


@given(st.text(), st.text())
def test_front_matter_is_a_mapping_or_our_error(head: str, text: str) -> None:
    for readme in (text, f"---\n{head}\n---\n{text}"):
        with contextlib.suppress(BuildError):
            assert isinstance(front_matter(readme), dict)


@given(st.binary(max_size=2000))
def test_fingerprint_is_the_hubs(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fingerprint"
    file.write_bytes(content)
    marks = fingerprint(file)
    assert (marks.blob, marks.sha256) == (Blob(content).git_oid, Blob(content).sha256)


def test_schema_changes_name_what_breaks_and_ignore_what_is_added() -> None:
    there = {"a": {"train": {"x": "int", "y": "str"}, "test": {"x": "int"}}, "b": {"train": {"x": "int"}}}
    assert schema_changes(there, {**there, "c": {"train": {"z": "int"}}}) == []
    here = {"a": {"train": {"x": "str", "z": "str"}}}
    assert schema_changes(there, here) == [
        "a/train: column 'x' is int there and str here",
        "a/train: column 'y' is str there and absent here",
        "a/train: column 'z' is absent there and str here",
        "split 'test' of config 'a' would go",
        "config 'b' would go",
    ]


def test_pauses_double_up_to_a_limit_and_obey_the_server() -> None:
    patience = Patience(first=1.0, longest=8.0, longest_order=60.0)
    for attempt, most in enumerate((1.0, 2.0, 4.0, 8.0, 8.0)):
        drawn = [patience.pause(attempt, None) for _ in range(200)]
        assert 0 <= min(drawn) < most / 4 < max(drawn) <= most
    assert 20 <= patience.pause(0, 20.0) <= 21
    assert patience.pause(0, 1e9) <= 61


@pytest.mark.parametrize(
    ("status", "headers", "again", "wait"),
    [
        (429, {"Retry-After": "12"}, True, 12.0),
        (429, {"RateLimit": '"api";r=0;t=55'}, True, 55.0),
        (503, {"RateLimit": '"api";r=9;t=55'}, True, None),
        (412, {}, True, None),
        (400, {}, False, None),
        (403, {}, False, None),
    ],
)
def test_answers_of_the_hub_are_weighed(status: int, headers: dict[str, str], again: bool, wait: float | None) -> None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    request = httpx2.Request("POST", "http://hub/api")
    error = HfHubHTTPError("no", response=httpx2.Response(status, headers=headers, request=request))
    wrapped = RuntimeError("Error while uploading")  # as the client reports a large file that did not go up
    wrapped.__cause__ = error
    for one in (error, wrapped):
        assert (transient(one), ordered_wait(one)) == (again, wait)
        told = explain(one, "org/x", "http://hub", "me")
        assert isinstance(told, UserError) == (status == 403)
        assert str(status) in str(told)
    assert not transient(RuntimeError("no HTTP in it"))
    assert isinstance(explain(OSError(28, "No space left on device"), "org/x", "http://hub"), StorageError)


# -- pushing ----------------------------------------------------------------------------------------------------------


def test_a_push_lands_and_the_next_ones_change_only_what_changed(
    hub: Hub, ask: Ask, home: Path, tmp_path: Path
) -> None:
    folder = dist(tmp_path / "chats")
    told = ask(folder, "org/chats", version="1.0.0")
    repo = hub.repo("datasets", "org/chats")
    assert told["found"] == CONFIGS
    assert (told["commit"], told["revision"], told["tag"]) == (repo.at("main").id, "main", "v1.0.0")
    assert (told["url"], told["changed"], told["private"]) == (f"{hub.url}/datasets/org/chats", True, False)
    assert held(repo) == on_disk(folder)
    assert repo.tags == {"v1.0.0": told["commit"]}
    assert all(blob.lfs for path, blob in repo.files.items() if path.endswith(".parquet"))

    again = ask(folder, "Org/Chats", version="v1.0.0")
    assert (again["changed"], again["commit"]) == (False, told["commit"])
    assert "no change" in again["said"]
    assert len(repo.history("main")) == 2

    (folder / "data/test-00000-of-00001.parquet").rename(folder / "data/test-00000-of-00002.parquet")
    dist(folder, {**CONFIGS, "default": {"train": 9, "test": 2}})
    (folder / "data/test-00000-of-00001.parquet").unlink()
    taken = ask(folder, "org/chats", version="1.0.0")
    assert (taken["error"], taken["status"]) == ("UserError", 2)
    assert "already has tag v1.0.0" in taken["said"]
    assert len(repo.history("main")) == 2
    hub.fail("POST", "/commit/", 429, headers={"Retry-After": "0"})
    hub.fail("POST", "/commit/", 503)
    hub.fail("POST", "/validate-yaml", 502)
    hub.fail("GET", "/api/datasets/org/chats$", 500)
    hub.before_commit.append(lambda repo: repo.put("README.md", b"---\nlicense: mit\n---\nraced\n", author="rival"))
    told = ask(folder, "org/chats", replace=True, version="1.0.0")
    assert told["found"]["default"] == {"train": 9, "test": 2}
    assert held(repo) == on_disk(folder)
    assert "data/test-00000-of-00001.parquet" not in repo.files
    assert [commit.author for commit in repo.history("main")] == ["me", "rival", "me", "me"]
    assert repo.tags == {"v1.0.0": told["commit"]}
    assert 412 in [seen.status for seen in hub.seen("POST", "/commit/main")]
    assert not (home / "hf").exists()  # neither token nor cache nor dataset is left behind

    environment = hub.environment(tmp_path, USE_TORCH="0")  # anybody's, without a token; torch would only take time
    done = subprocess.run([sys.executable, "-c", READER], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "rows": {"train": 9, "test": 2},
        "more": {"id": 0, "text": "messages train 0"},
        "streamed": ["default test 0", "default test 1"],
    }


def test_what_a_run_becomes_is_read_back_whole_and_its_card_says_how(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    built = build(run_folder(tmp_path / "run"), tmp_path)
    told = ask(built.folder, "Org/persona-chat")
    repo = hub.repo("datasets", "org/persona-chat")
    assert (told["found"], told["repo"]) == (built.rows, repo.id)
    assert set(built.rows) == {"default", "messages", "preference"}
    there, here = held(repo), on_disk(built.folder)
    card, local = there.pop("README.md").decode(), here.pop("README.md").decode()
    assert there == here
    assert f'load_dataset("{repo.id}", "messages")' in card
    assert card.replace(f'"{repo.id}"', '"synthetic-persona-chat"') == local != card
    again = source_of(Dataset.read(built.folder), repo.id)
    assert again.files["README.md"].blob == Blob(card.encode()).git_oid  # another push would change nothing


def test_a_change_of_schema_needs_replace(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    repo = already_there(hub, dist(tmp_path / "one"), "org/schema")
    before = len(repo.commits)
    other = dist(tmp_path / "two", {"default": {"train": 4}}, column="utterance")
    refused = ask(other, "org/schema")
    assert refused["error"] == "UserError"
    for part in ("'text' is", "'utterance' is absent there", "split 'test'", "config 'messages'", "--replace"):
        assert part in refused["said"]
    assert len(repo.commits) == before
    assert ask(other, "org/schema", replace=True)["found"] == {"default": {"train": 4}}
    assert held(repo) == on_disk(other)

    for path, part in (
        ("notes.txt", "no part of its dataset: notes.txt"),
        ("README.md", "does not say what they are"),
    ):
        repo.put(path, b"somebody's own")
        assert part in ask(other, "org/schema")["said"]


def test_pull_requests_and_branches(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    repo = already_there(hub, dist(tmp_path / "one"), "org/side")
    main, before = repo.at("main").id, len(repo.history("main"))
    more = dist(tmp_path / "two", {**CONFIGS, "extra": {"train": 3}})
    hub.fail("POST", "/commit/", 504, after=True)  # the pull request is opened, the answer lost
    pull = ask(more, "org/side", create_pr=True, version="2.0")
    assert (pull["revision"], pull["commit"]) == ("refs/pr/1", repo.pulls[1])
    assert pull["url"] == f"{hub.url}/datasets/org/side/discussions/1"
    assert (pull["found"]["extra"], pull["tag"]) == ({"train": 3}, None)
    assert held(repo, "refs/pr/1") == on_disk(more)
    assert list(repo.pulls) == [1]
    assert not repo.tags

    hub.fail("POST", "/commit/", 0, after=True)  # the commit is made, the connection cut
    branch = ask(more, "org/side", revision="next/two")
    assert (branch["revision"], branch["commit"]) == ("next/two", repo.branches["next/two"])
    assert branch["changed"]
    assert held(repo, "next/two") == on_disk(more)
    assert len(repo.history("next/two")) == before + 1
    assert repo.at("main").id == main

    hub.tokens["hf_stranger"] = Account("stranger")
    theirs = ask(more, "org/side", create_pr=True, token="hf_stranger")
    assert (theirs["revision"], repo.commits[theirs["commit"]].author) == ("refs/pr/2", "stranger")
    assert "no branch 'absent'" in ask(more, "org/side", create_pr=True, revision="absent")["said"]


def test_users_mistakes_are_told_before_anything_is_sent(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    folder = dist(tmp_path, {"default": {"train": 2}})
    posts = len(hub.seen("POST", "/commit/|/preupload/"))
    hub.store.create("datasets", "other/theirs", "other")
    for repo, arguments, part in (
        ("org/x", {"environment": {"HF_TOKEN": None}}, "hf auth login"),
        ("org/x", {"token": "hf_wrong"}, "does not accept this token"),
        ("org/x", {"token": "hf_ me"}, "copy it anew"),
        ("elsewhere/x", {"environment": {"HF_TOKEN": "hf_me_secret"}}, "me may not write to elsewhere/x"),
        ("org/x", {"token": "hf_read"}, "may not write"),
        ("chats", {}, "lacks its owner"),
        ("org/a b", {}, "cannot be a repository"),
        ("org/x", {"version": "one two"}, "cannot be a version"),
        ("org/x", {"revision": "0" * 40}, "no branch"),
        ("other/theirs", {"private": True}, "is public"),
    ):
        told = ask(folder, repo, **arguments)
        assert (told["error"], told["status"]) == ("UserError", 2), told
        assert part in told["said"], told
    assert len(hub.seen("POST", "/commit/|/preupload/")) == posts
    refused = ask(folder, "other/theirs")
    assert "me may not write to other/theirs" in refused["said"]
    assert ("datasets", "org/x") not in hub.store.repos
    (folder / "notes.txt").write_text("private")
    assert "notes.txt" in ask(folder, "org/x")["said"]


def test_a_hub_that_fails_for_good_or_holds_something_else_is_told(hub: Hub, ask: Ask, tmp_path: Path) -> None:
    folder = dist(tmp_path / "whole", {"default": {"train": 5}})
    for method, place, status, said in (
        ("GET", "/whoami", 0, f"{hub.url} cannot be reached"),
        ("POST", "/commit/", 503, "still answers 503"),
    ):
        hub.fail(method, place, status, times=5)
        told = ask(folder, "org/broken", private=True)
        assert (told["error"], told["status"]) == ("PushError", 1)
        assert said in told["said"]
    short = dist(tmp_path / "short", {"default": {"train": 3}})
    hub.store.swaps["data/train-00000-of-00001.parquet"] = next((short / "data").iterdir()).read_bytes()
    told = ask(folder, "org/broken", version="1.0")
    hub.store.swaps.clear()
    assert told["error"] == "PushError"
    assert "default/train: 3 rows instead of 5" in told["said"]
    assert not hub.repo("datasets", "org/broken").tags
    repaired = ask(folder, "org/broken", version="1.0")  # the same push again mends it
    assert repaired["found"] == {"default": {"train": 5}}
    assert repaired["private"]
    assert hub.repo("datasets", "org/broken").private
