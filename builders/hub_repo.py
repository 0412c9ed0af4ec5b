"""A dataset repository on the Hub, as a push sees it: what it holds, how a folder differs, one commit, one tag."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from builders.hub_folder import files_in, layout, some
from synthesis.errors import BuildError, PushError, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

Schema = dict[str, dict[str, dict[str, str]]]
"""Config, split, column, feature as datasets writes it."""

_CARD = "README.md"
_KEPT = ".gitattributes"  # the Hub's own; it decides what is stored as a large file
_READ = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A local file as the Hub would name it: SHA-256 when stored as a large file, git's blob SHA-1 when not."""

    sha256: str
    blob: str

    def is_at(self, remote: RepoFile) -> bool:
        """Whether the Hub holds these very bytes."""
        return self.sha256 == remote.lfs.sha256 if remote.lfs else self.blob == remote.blob_id


@dataclass(frozen=True, slots=True)
class Plan:
    """What one commit on top of `head` has to add and delete so that the repository equals the folder."""

    head: str
    add: tuple[str, ...]
    delete: tuple[str, ...]
    before: Mapping[str, RepoFile]


@dataclass(frozen=True, slots=True)
class Landing:
    """Where the content is: the commit, the revision that leads to it, its page, and whether this push changed it."""

    commit: str
    revision: str
    url: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Source:
    """The folder to push: its path, the card as it will stand on the Hub, schema, and every file's fingerprint."""

    folder: Path
    card: bytes
    schema: Schema
    files: Mapping[str, Fingerprint]

    def content(self, path: str) -> Path | bytes:
        """What to send as `path`: the file on disk, but for the card."""
        return self.card if path == _CARD else self.folder / path


@dataclass(slots=True)
class Target:
    """One branch of one dataset repository. `api` carries the token; it is kept out of every repr."""

    api: HfApi = field(repr=False)
    repo: str
    branch: str
    token: str = field(repr=False)

    def page(self) -> str:
        tail = "" if self.branch == "main" else f"/tree/{self.branch}"
        return f"{self.api.endpoint}/datasets/{self.repo}{tail}"

    def start(self, create_pr: bool) -> str:
        """The revision to plan against: the branch, or main where a push would first create the branch."""
        refs = self.api.list_repo_refs(self.repo, repo_type="dataset")
        if any(self.branch == ref.name for ref in refs.branches) or self.branch.startswith("refs/pr/"):
            return self.branch
        if any(self.branch == ref.name for ref in refs.tags):
            raise UserError(f"{self.branch!r} is a tag of {self.repo}; push to a branch, tags do not move")
        if create_pr:
            raise UserError(f"{self.repo} has no branch {self.branch!r} to open a pull request against")
        return "main"

    def plan(self, source: Source, revision: str) -> Plan:
        """Compare the folder with the head of `revision`."""
        head = self.api.dataset_info(self.repo, revision=revision).sha
        if head is None:
            raise PushError(f"the Hub gives no commit for {self.repo} at {revision}")
        return self.against(source, head)

    def against(self, source: Source, commit: str) -> Plan:
        """Compare the folder with one commit."""
        from huggingface_hub.hf_api import RepoFile

        tree = self.api.list_repo_tree(self.repo, recursive=True, revision=commit, repo_type="dataset")
        there = {item.path: item for item in tree if isinstance(item, RepoFile)}
        add = tuple(path for path, mark in source.files.items() if path not in there or not mark.is_at(there[path]))
        delete = tuple(sorted(path for path in there.keys() - source.files.keys() if path != _KEPT))
        return Plan(commit, add, delete, there)

    def guard(self, plan: Plan, source: Source) -> None:
        """Refuse, with a UserError, to delete files that no push of ours put there, or to change published columns."""
        if not plan.before.keys() - {_KEPT, _CARD}:
            return
        files = self._filesystem()
        root = f"datasets/{self.repo}@{plan.head}"
        readme = files.read_text(f"{root}/{_CARD}") if _CARD in plan.before else ""
        try:
            found = layout(readme, plan.before)
        except BuildError as error:
            raise UserError(
                f"{self.repo} already holds {some(plan.delete or plan.add)} and its README.md does "
                f"not say what they are ({error}). --replace writes over it all; or push elsewhere"
            ) from error
        foreign = sorted(set(found.foreign) & set(plan.delete))
        if foreign:
            raise UserError(
                f"{self.repo} holds files that this push would delete and that are no part of its "
                f"dataset: {some(foreign)}. --replace deletes them; or push elsewhere"
            )
        firsts = {c: {s: paths[0] for s, paths in splits.items() if paths} for c, splits in found.configs.items()}
        published = {
            config: {split: columns(files, f"{root}/{path}") for split, path in splits.items()}
            for config, splits in firsts.items()
        }
        changes = schema_changes(published, source.schema)
        if changes:
            raise UserError(
                f"{self.repo} is published with another schema: {'; '.join(changes)}. Whoever loads it "
                "would break; --replace publishes the new schema all the same"
            )

    def commit(self, plan: Plan, source: Source, message: str, *, create_pr: bool) -> Landing:
        """Send the plan as one commit (or pull request) that only applies on top of `plan.head`."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(path, is_folder=False) for path in plan.delete]
        operations += [CommitOperationAdd(path, source.content(path)) for path in plan.add]
        sent = self.api.create_commit(
            self.repo,
            operations,
            commit_message=message,
            repo_type="dataset",
            revision=self.branch,
            parent_commit=plan.head,
            create_pr=create_pr,
        )
        if sent.pr_url is not None and sent.pr_revision is not None:
            return Landing(sent.oid, sent.pr_revision, sent.pr_url, changed=True)
        return Landing(sent.oid, self.branch, self.page(), changed=True)

    def pulls(self) -> dict[str, str]:
        """Every pull request's ref (`refs/pr/1`) with its head."""
        refs = self.api.list_repo_refs(self.repo, repo_type="dataset", include_pull_requests=True)
        return {ref.ref: ref.target_commit for ref in refs.pull_requests or []}

    def landed_pull(self, source: Source, known: Mapping[str, str]) -> Landing | None:
        """The pull request opened by a try whose answer was lost: not in `known`, and holding the folder's bytes."""
        for ref, commit in self.pulls().items():
            if ref in known:
                continue
            plan = self.against(source, commit)
            if not plan.add and not plan.delete:
                url = f"{self.api.endpoint}/datasets/{self.repo}/discussions/{ref.rsplit('/', 1)[1]}"
                return Landing(commit, ref, url, changed=True)
        return None

    def tagged(self, tag: str) -> str | None:
        """The commit that `tag` marks, or None."""
        refs = self.api.list_repo_refs(self.repo, repo_type="dataset")
        return next((ref.target_commit for ref in refs.tags if ref.name == tag), None)

    def tag(self, tag: str, commit: str, *, replace: bool) -> None:
        """Mark `commit` with `tag`. Raises UserError when it marks another commit, unless `replace`."""
        at = self.tagged(tag)
        if at == commit:
            return
        if at is not None:
            if not replace:
                raise UserError(taken(self.repo, tag, at))
            self.api.delete_tag(self.repo, tag=tag, repo_type="dataset")
        self.api.create_tag(self.repo, tag=tag, revision=commit, repo_type="dataset", exist_ok=True)
        if self.tagged(tag) != commit:
            raise PushError(f"{self.repo}: tag {tag} was set by somebody else meanwhile; push under another version")

    def _filesystem(self) -> Any:
        from huggingface_hub import HfFileSystem

        # Its own instance: fsspec keeps instances, and with them tokens and listings, for the life of the process.
        return HfFileSystem(endpoint=self.api.endpoint, token=self.token, skip_instance_cache=True)


def taken(repo: str, tag: str, commit: str) -> str:
    """What to say of a tag that already marks another commit."""
    return f"{repo} already has tag {tag}, at commit {commit[:12]}; raise the version, or move the tag with --replace"


def source_of(folder: Path, configs: Mapping[str, Mapping[str, tuple[str, ...]]], repo: str) -> Source:
    """Fingerprint a checked folder on its way to `repo`. `configs`: config, split, data files."""
    import fsspec

    local = fsspec.filesystem("file")
    schema = {
        config: {split: columns(local, str(folder / paths[0])) for split, paths in splits.items()}
        for config, splits in configs.items()
    }
    card = addressed((folder / _CARD).read_bytes(), folder.resolve().name, repo)
    marks = {path: fingerprint(folder / path) for path in files_in(folder)}
    return Source(folder, card, schema, marks | {_CARD: _fingerprint(io.BytesIO(card), len(card))})


def addressed(card: bytes, name: str, repo: str) -> bytes:
    """The card with `load_dataset("name"` as `load_dataset("repo"`: a build does not know where it will be pushed."""
    return card.replace(f'load_dataset("{name}"'.encode(), f'load_dataset("{repo}"'.encode())


def fingerprint(path: Path) -> Fingerprint:
    """Both hashes of a file, in one reading."""
    with path.open("rb") as file:
        return _fingerprint(file, path.stat().st_size)


def _fingerprint(file: BinaryIO, size: int) -> Fingerprint:
    sha256, blob = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    blob.update(f"blob {size}\0".encode())
    while chunk := file.read(_READ):
        sha256.update(chunk)
        blob.update(chunk)
    return Fingerprint(sha256.hexdigest(), blob.hexdigest())


def columns(files: Any, path: str) -> dict[str, str]:
    """Column, feature of a Parquet file on an fsspec filesystem; only its footer is read. Raises UserError."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    with files.open(path, "rb") as file:
        try:
            features = Features.from_arrow_schema(pq.read_schema(file))
        except pa.ArrowInvalid as error:
            raise UserError(f"{path} is no readable Parquet file ({error}); --replace writes over it") from error
    return {name: str(feature) for name, feature in features.items()}


def schema_changes(published: Schema, ours: Schema) -> list[str]:
    """What would break for readers of `published`: configs, splits and columns gone or changed, and columns new.

    New configs and new splits break nobody and are not listed.
    """
    changes = []
    for config, splits in published.items():
        if config not in ours:
            changes.append(f"config {config!r} would go")
            continue
        for split, before in splits.items():
            after = ours[config].get(split)
            if after is None:
                changes.append(f"split {split!r} of config {config!r} would go")
                continue
            changes += [
                f"{config}/{split}: column {name!r} is {before.get(name, 'absent')} there "
                f"and {after.get(name, 'absent')} here"
                for name in sorted(before.keys() | after.keys())
                if before.get(name) != after.get(name)
            ]
    return changes
