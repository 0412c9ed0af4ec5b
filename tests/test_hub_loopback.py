"""The loopback Hub behaves towards real clients, and answers the awkward requests, as the Hub does."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Account, Hub

TOKENS = {"hf_me": Account("me", orgs=("org",)), "hf_other": Account("other"), "hf_read": Account("me", write=False)}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(tokens=dict(TOKENS)) as running:
        yield running


def call(
    hub: Hub, method: str, path: str, body: object = None, token: str | None = "hf_me", **headers: str
) -> tuple[int, Message, bytes]:
    """One bare request: status, headers, body. A body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(hub.url + path, data=content, method=method, headers=sent)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def commit(hub: Hub, *lines: tuple[str, dict[str, Any]], to: str = "main", **header: str) -> tuple[int, Any]:
    everything = [("header", {"summary": "change", **header}), *lines]
    body = b"\n".join(json.dumps({"key": key, "value": value}).encode() for key, value in everything)
    where = f"/api/datasets/org/d/commit/{to}"
    status, _, answer = call(hub, "POST", where, body, Content_Type="application/x-ndjson")
    return status, json.loads(answer)


def text(path: str, content: str) -> tuple[str, dict[str, str]]:
    return "file", {"path": path, "content": base64.b64encode(content.encode()).decode(), "encoding": "base64"}


def test_real_clients_create_upload_load_stream_and_download(hub: Hub, tmp_path: Path) -> None:
    program = Path(__file__).with_name("hub_client.py")
    environment = hub.environment(tmp_path, "hf_me", USE_TORCH="0")  # importing torch would only take time
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["name"] == "me"
    assert told["created"] == [f"{hub.url}/datasets/org/chats"] * 2
    assert told["rows"] == {"train": 5, "test": 2}
    assert told["branch"] == ["test 0", "test 1"]
    assert told["streamed"] == [f"train {n}" for n in range(5)]
    assert told["copied"] == [".gitattributes", "config.json", "deep/model.safetensors"]
    assert told["same"] is True
    assert told["listed"] == [".gitattributes", "config.json", "deep", "deep/model.safetensors"]
    assert told["pull"] == [".gitattributes", "NOTES.md", "config.json", "deep/model.safetensors"]
    assert told["info"] == ["deep", "config.json"]
    assert told["ranged"] == "2c2d2e2f"
    assert told["tags"] == ["v1"]
    assert told["commits"] == ["Upload folder using huggingface_hub", "initial commit"]
    assert told["foreign"] == 403
    chats = hub.repo("datasets", "ORG/chats")
    assert all(blob.lfs == path.endswith(".parquet") for path, blob in chats.files.items())
    assert len(chats.history("main")) == 2
    assert "more/test-00000-of-00001.parquet" in chats.at("branch/one").files
    assert "more/test-00000-of-00001.parquet" not in chats.files
    assert hub.repo("models", "me/model").private
    assert hub.seen("GET", "/resolve/.*parquet$")
    assert all(one.status in (200, 206, 404, 409, 403) for one in hub.log)


def test_commit_obeys_its_rules(hub: Hub) -> None:
    repo = hub.store.create("datasets", "org/d", "me")
    first = repo.at("main").id
    status, told = commit(hub, text("a/b.txt", "one"), text("a/c.txt", "two"), text("d.txt", "three"))
    assert status == 200
    assert told["commitOid"] == repo.at("main").id != first

    status, told = commit(hub, text("late.txt", "x"), parentCommit=first)
    assert (status, told["error"][:22]) == (412, "The branch was updated")
    status, told = commit(hub, ("lfsFile", {"path": "x.bin", "algo": "sha256", "oid": "0" * 64, "size": 3}))
    assert status == 400
    assert commit(hub, ("deletedFile", {"path": "absent"}))[0] == 404
    assert commit(hub, text("../out.txt", "x"))[0] == 422
    assert commit(hub, text("x.txt", "x"), to="absent")[0] == 404
    assert commit(hub, text("README.md", "---\nlicense: {a: b}\n---\n"))[0] == 400
    assert set(repo.files) == {".gitattributes", "a/b.txt", "a/c.txt", "d.txt"}

    assert commit(hub, ("deletedFolder", {"path": "a/"}), text("d.txt", "four"))[0] == 200
    assert {path: blob.content for path, blob in repo.files.items() if path != ".gitattributes"} == {"d.txt": b"four"}
    assert [one.title for one in repo.history("main")] == ["change", "change", "initial commit"]

    status, told = commit(hub, text("e.txt", "five"), to="main?create_pr=1", parentCommit=first)
    assert (status, told["pullRequestUrl"]) == (200, f"{hub.url}/datasets/org/d/discussions/1")
    assert "e.txt" in repo.at("refs/pr/1").files
    assert "e.txt" not in repo.files
    assert commit(hub, text("f.txt", "six"), to="refs%2Fpr%2F1")[0] == 200
    assert {"e.txt", "f.txt"} <= repo.at("refs/pr/1").files.keys()


def test_large_files_are_told_apart_and_kept_by_hash(hub: Hub) -> None:
    repo = hub.store.create("datasets", "org/d", "me")
    repo.put("held.txt", b"held")
    asked = [("a.parquet", b"PAR1"), ("b.txt", b"plain"), ("c.dat", b"\0\1"), ("held.txt", b"held")]
    files: list[dict[str, Any]] = [
        {"path": path, "sample": base64.b64encode(sample).decode(), "size": len(sample)} for path, sample in asked
    ]
    files.append({"path": "huge.txt", "sample": "", "size": 11 << 20})
    told = json.loads(call(hub, "POST", "/api/datasets/org/d/preupload/main", {"files": files})[2])["files"]
    assert [one["uploadMode"] for one in told] == ["lfs", "regular", "lfs", "regular", "lfs"]
    assert [one.get("oid") for one in told] == [None, None, None, hashlib.sha1(b"blob 4\0held").hexdigest(), None]

    oid = hashlib.sha256(b"PAR1").hexdigest()
    batch = {"operation": "upload", "objects": [{"oid": oid, "size": 4}], "hash_algo": "sha256"}
    where = "/datasets/org/d.git/info/lfs/objects/batch"
    actions = json.loads(call(hub, "POST", where, batch)[2])["objects"][0]["actions"]
    href = actions["upload"]["href"].removeprefix(hub.url)
    assert call(hub, "PUT", href, b"other", token=None)[0] == 400
    assert call(hub, "PUT", href, b"PAR1", token=None)[0] == 200
    assert call(hub, "POST", actions["verify"]["href"].removeprefix(hub.url), {"oid": oid, "size": 4})[0] == 200
    assert "actions" not in json.loads(call(hub, "POST", where, batch)[2])["objects"][0]

    assert commit(hub, ("lfsFile", {"path": "a.parquet", "algo": "sha256", "oid": oid, "size": 4}))[0] == 200
    status, headers, body = call(hub, "GET", "/datasets/org/d/resolve/main/a.parquet")
    assert (status, body, headers["ETag"], headers["X-Linked-Size"]) == (200, b"PAR1", f'"{oid}"', "4")
    assert b"git-lfs" in call(hub, "GET", "/datasets/org/d/raw/main/a.parquet")[2]


def test_files_are_served_by_range_and_missing_things_by_their_code(hub: Hub) -> None:
    repo = hub.store.create("datasets", "org/d", "me")
    repo.put("t.txt", b"0123456789")
    where = "/datasets/Org/D/resolve/main/t.txt"
    status, headers, body = call(hub, "HEAD", where)
    assert (status, body, headers["Content-Length"], headers["X-Repo-Commit"]) == (200, b"", "10", repo.at("main").id)
    for asked, got in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=8-99", b"89")):
        status, headers, body = call(hub, "GET", where, Range=asked)
        assert (status, body) == (206, got), asked
    assert headers["Content-Range"] == "bytes 8-9/10"
    assert call(hub, "GET", where, Range="bytes=10-")[0] == 416
    for path, code in (
        ("/datasets/org/d/resolve/main/absent", "EntryNotFound"),
        ("/datasets/org/d/resolve/absent/t.txt", "RevisionNotFound"),
        ("/api/datasets/org/d/tree/main/absent", "EntryNotFound"),
        ("/api/datasets/org/absent", "RepoNotFound"),
        ("/api/models/org/d", "RepoNotFound"),
    ):
        status, headers, _ = call(hub, "GET", path)
        assert (status, headers["X-Error-Code"]) == (404, code), path


def test_listings_come_in_pages_and_paths_info_takes_forms(hub: Hub) -> None:
    hub._routes.page = 2
    repo = hub.store.create("datasets", "org/d", "me")
    for name in ("x/a.txt", "x/b.txt", "y.txt"):
        repo.put(name, name.encode())
    path, listed = "/api/datasets/org/d/tree/main?recursive=true&expand=true", []
    while path:
        _, headers, body = call(hub, "GET", path)
        listed += [(one["path"], one["lastCommit"]["title"]) for one in json.loads(body)]
        path = headers.get("Link", "<>").split("<")[1].split(">")[0].removeprefix(hub.url)
    assert listed == [
        (".gitattributes", "initial commit"),
        ("x", "Put x/b.txt"),
        ("x/a.txt", "Put x/a.txt"),
        ("x/b.txt", "Put x/b.txt"),
        ("y.txt", "Put y.txt"),
    ]
    form = call(
        hub,
        "POST",
        "/api/datasets/org/d/paths-info/main",
        b"paths=x&paths=no&paths=y.txt&expand=False",
        Content_Type="application/x-www-form-urlencoded",
    )[2]
    assert [(one["type"], one["path"]) for one in json.loads(form)] == [("directory", "x"), ("file", "y.txt")]
    assert call(hub, "GET", "/api/datasets/org/d/commits/main")[1]["X-Total-Count"] == "4"


def test_who_may_do_what(hub: Hub) -> None:
    assert call(hub, "GET", "/api/whoami-v2", token="hf_wrong")[0] == 401
    create = {"name": "d", "organization": "org", "type": "dataset", "visibility": "private"}
    assert call(hub, "POST", "/api/repos/create", create, token="hf_other")[0] == 403
    assert call(hub, "POST", "/api/repos/create", create, token="hf_read")[0] == 403
    assert call(hub, "POST", "/api/repos/create", create)[0] == 200
    status, _, body = call(hub, "POST", "/api/repos/create", create)
    assert (status, json.loads(body)["url"]) == (409, f"{hub.url}/datasets/org/d")
    assert [call(hub, "GET", "/api/datasets/org/d", token=token)[0] for token in ("hf_me", "hf_other", None)] == [
        200,
        404,
        401,
    ]
    assert call(hub, "PUT", "/api/datasets/org/d/settings", {"visibility": "public"})[0] == 200
    assert call(hub, "GET", "/api/datasets/org/d", token="hf_other")[0] == 200
    assert call(hub, "POST", "/api/datasets/org/d/tag/main", {"tag": "v1"}, token="hf_other")[0] == 403
    assert [call(hub, "POST", "/api/datasets/org/d/tag/main", {"tag": "v1"})[0] for _ in range(2)] == [200, 409]
    assert [call(hub, "POST", "/api/datasets/org/d/branch/b%2Fc", {})[0] for _ in range(2)] == [200, 409]
    assert call(hub, "DELETE", "/api/datasets/org/d/branch/main")[0] == 403
    assert call(hub, "DELETE", "/api/repos/delete", {"name": "d", "organization": "org", "type": "dataset"})[0] == 200
    assert call(hub, "GET", "/api/datasets/org/d")[0] == 404


def test_cards_are_validated_in_either_dialect(hub: Hub) -> None:
    for content, status in (("---\nlicense: mit\n---\n", 200), ("---\nlicense: [a\n---\n", 400), ("no head", 200)):
        got, _, body = call(hub, "POST", "/api/validate-yaml", {"content": content, "repoType": "dataset"})
        assert (got, bool(json.loads(body)["errors"])) == (status, status == 400)
    answer = call(hub, "POST", "/api/validate-yaml", {"content": "---\nlicense: 3\n---\n"}, Accept="text/plain")
    assert (answer[0], answer[2][:8]) == (400, b"- Error:")


def test_faults_hit_as_often_as_told_before_or_after_the_work(hub: Hub) -> None:
    repo = hub.store.create("datasets", "org/d", "me")
    hub.fail("POST", "/commit/", 429, times=2, headers={"Retry-After": "7"})
    hub.fail("POST", "/commit/", 504, after=True)
    body = b'{"key": "header", "value": {"summary": "s"}}'
    answers = [call(hub, "POST", "/api/datasets/org/d/commit/main", body) for _ in range(4)]
    assert [status for status, _, _ in answers] == [429, 429, 504, 200]
    assert answers[0][1]["Retry-After"] == "7"
    assert len(repo.history("main")) == 3  # the 504's work was done
    assert hub.pending_faults == 0
    hub.fail("GET", "/whoami", 0)
    with pytest.raises(OSError, match=r"reset|closed|Remote"):
        call(hub, "GET", "/api/whoami-v2")
    assert [one.status for one in hub.seen("POST", "/commit/")] == [429, 429, 504, 200]
