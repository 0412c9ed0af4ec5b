"""The loopback Hub's memory: repositories with commits, branches, tags and pull requests, all open to inspection."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from typing import Any

_PREFIX = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
GITATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n"
    for kind in ("arrow", "bin", "gguf", "gz", "npy", "parquet", "png", "jpg", "pt", "safetensors", "zip")
)


class Refusal(Exception):
    """An answer other than 200: HTTP status, text, `X-Error-Code`, further JSON fields and headers."""

    def __init__(
        self,
        status: int,
        text: str,
        code: str | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status, self.text, self.code = status, text, code
        self.fields, self.headers = dict(fields or {}), dict(headers or {})


@dataclass(frozen=True)
class Account:
    """Who a token stands for. `write` False: a token that may only read."""

    name: str
    orgs: tuple[str, ...] = ()
    write: bool = True

    def owns(self, namespace: str) -> bool:
        return namespace.lower() in {self.name.lower(), *(org.lower() for org in self.orgs)}


@dataclass(frozen=True)
class Blob:
    """A stored file. git knows a large file (`lfs`) by its pointer text."""

    content: bytes
    lfs: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def git(self) -> bytes:
        """What git holds: the content, or the pointer to it."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return pointer.encode() if self.lfs else self.content

    @property
    def git_oid(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.git) + self.git).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.git_oid


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, Blob]


@dataclass
class Repo:
    """`pulls`: number, head commit. `branches` and `tags`: name, commit."""

    kind: str
    id: str
    private: bool
    creator: str
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[int, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def page(self) -> str:
        return f"/{_PREFIX[self.kind]}{self.id}"

    @property
    def files(self) -> Mapping[str, Blob]:
        """The files at the head of main."""
        return self.at("main").files

    def at(self, revision: str) -> Commit:
        """The commit of a branch, tag, `refs/pr/N`, `HEAD`, full id or unambiguous start of one."""
        name = "main" if revision == "HEAD" else revision.removeprefix("refs/heads/")
        pull = re.fullmatch(r"refs/pr/(\d+)", name)
        found = self.branches.get(name) or self.tags.get(name) or (self.pulls.get(int(pull[1])) if pull else None)
        if found is None and re.fullmatch(r"[0-9a-f]{7,40}", name):
            starting = [commit for commit in self.commits if commit.startswith(name)]
            found = starting[0] if len(starting) == 1 else None
        if found is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[found]

    def history(self, revision: str) -> list[Commit]:
        """Newest first."""
        chain = [self.at(revision)]
        while (parent := chain[-1].parent) is not None:
            chain.append(self.commits[parent])
        return chain

    def last_touched(self, path: str, revision: str) -> Commit:
        """The commit that last changed a file or anything in a folder."""

        def below(commit: Commit) -> dict[str, str]:
            return {p: b.etag for p, b in commit.files.items() if p == path or p.startswith(path + "/")}

        chain = self.history(revision)
        for newer, older in itertools.pairwise(chain):
            if below(newer) != below(older):
                return newer
        return chain[-1]

    def add(
        self, parent: Commit | None, title: str, author: str, files: Mapping[str, Blob], message: str = ""
    ) -> Commit:
        """A new commit that no ref points to yet."""
        number = len(self.commits)
        before = parent.id if parent else None
        named = f"{self.kind}:{self.id}:{number}:{title}:{before}"
        date = (_EPOCH + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        commit = Commit(
            hashlib.sha1(named.encode()).hexdigest(), before, title, message, author, date, dict(sorted(files.items()))
        )
        self.commits[commit.id] = commit
        return commit

    def put(self, path: str, content: bytes, *, branch: str = "main", author: str = "somebody") -> Commit:
        """Commit one file from the side, as another writer would."""
        parent = self.at(branch)
        commit = self.add(parent, f"Put {path}", author, {**parent.files, path: Blob(content, self.is_large(path))})
        self.branches[branch] = commit.id
        return commit

    def is_large(self, path: str, revision: str = "main") -> bool:
        """Whether the revision's own `.gitattributes` sends `path` to large file storage."""
        held = self.at(revision).files.get(".gitattributes")
        lines = held.content.decode().splitlines() if held else []
        patterns = [line.split()[0] for line in lines if "filter=lfs" in line.split()[1:]]
        return any(fnmatch(path, pattern) or fnmatch(path.rsplit("/", 1)[-1], pattern) for pattern in patterns)


@dataclass
class Store:
    """Everything the Hub remembers. Repository ids are case-insensitive.

    `large`: uploaded large objects by SHA-256. `swaps`: path, bytes to store in place of whatever is committed there,
    as a Hub with a damaged disk would.
    """

    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    swaps: dict[str, bytes] = field(default_factory=dict)

    def repo(self, kind: str, name: str) -> Repo:
        found = self.repos.get((kind, name.lower()))
        if found is None:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return found

    def create(self, kind: str, name: str, creator: str, *, private: bool = False) -> Repo:
        if (kind, name.lower()) in self.repos:
            raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}")
        repo = Repo(kind, name, private, creator)
        first = repo.add(None, "initial commit", creator, {".gitattributes": Blob(GITATTRIBUTES.encode())})
        repo.branches["main"] = first.id
        self.repos[kind, name.lower()] = repo
        return repo

    def changed(
        self, files: Mapping[str, Blob], operations: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> dict[str, Blob]:
        """`files` after a commit's operations: (key, value) as in the lines of a commit request."""
        after = dict(files)
        for key, value in operations:
            path = str(value["path"])
            if path.startswith(("/", "../")) or "/../" in path:
                raise Refusal(422, f"Invalid path: {path}")
            if key == "file":
                after[path] = Blob(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                if value["oid"] not in self.large:
                    raise Refusal(400, f"An LFS pointer pointed to a file that does not exist: {value['oid']}")
                after[path] = Blob(self.large[value["oid"]], lfs=True)
            elif key in ("deletedFile", "deletedFolder"):
                gone = [held for held in after if held == path or held.startswith(path.rstrip("/") + "/")]
                if not gone:
                    raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                for held in gone:
                    del after[held]
            else:
                raise Refusal(400, f"Unknown operation: {key}")
            if path in after and path in self.swaps:
                after[path] = Blob(self.swaps[path], after[path].lfs)
        return after
