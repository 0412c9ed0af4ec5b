"""Check a Hub-ready dataset folder, and push it as one commit that is loaded back and counted.

A push is careful in this order: the folder is loaded config by config; the repository's schema and private or public
state are compared; one commit makes the repository equal to the folder, on condition that nobody committed meanwhile;
the new revision is loaded from the Hub with empty caches and its rows counted; only then is it tagged.
The endpoint is the process's HF_ENDPOINT, since load_dataset follows nothing else; so is the choice of Xet.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from builders import hub_folder, hub_rows
from builders.hub_patience import Patience, explain, failures, persist
from builders.hub_repo import Landing, Source, Target, source_of, taken
from synthesis.errors import BuildError, ParleyError, PushError, StorageError, UserError

T = TypeVar("T")
Rows = dict[str, dict[str, int]]
"""Config, split, number of rows."""

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CACHES = (
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_MODULES_CACHE",
    "HF_ASSETS_CACHE",
    "HF_XET_CACHE",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_DEBUG",
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push left on the Hub.

    `repo`: its id as the Hub spells it. `url`: the page to look at (of the pull request, when one was opened).
    `commit`: the revision that was loaded back.
    `revision`: the branch, or `refs/pr/N`. `tag`: None when none was asked for. `rows`: config, split, rows, as
    counted on the Hub. `changed`: False when the repository already held exactly this folder. `private`: as it is.
    """

    repo: str
    url: str
    commit: str
    revision: str
    tag: str | None
    rows: Rows
    changed: bool
    private: bool

    def __str__(self) -> str:
        total = sum(rows for splits in self.rows.values() for rows in splits.values())
        did = "pushed to" if self.changed else "no change: nothing to push to"
        tag = f", tagged {self.tag}" if self.tag else ""
        return (
            f"{did} {self.url} at {self.revision}, commit {self.commit[:12]}{tag} "
            f"({'private' if self.private else 'public'}); "
            f"loaded back: {total} rows in {len(self.rows)} config{'s' * (len(self.rows) != 1)}"
        )


def check(folder: Path) -> Rows:
    """Load every config of a built folder as its readers will, and count: {config: {split: rows}}.

    Raises UserError when `folder` is no built dataset or holds files its README does not account for; BuildError when
    the README and the data disagree, a split is empty, or a config does not load; StorageError when there is no room
    for the copy that loading makes (under TMPDIR, removed afterwards).
    """
    from datasets import Features
    from datasets.exceptions import DatasetsError
    from pyarrow import parquet

    found = hub_folder.read(folder)
    rows: Rows = {}
    # A malformed dataset_info in the README fails in load_dataset in whatever way its shape happens to cause.
    broken = (DatasetsError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)
    try:
        with tempfile.TemporaryDirectory(prefix="parley-check-") as cache, _no_progress_bars():
            for config, data in hub_rows.load(str(folder.resolve()), found.configs, cache=cache):
                rows[config] = {split: part.num_rows for split, part in data.items()}
                for split, paths in found.configs[config].items():
                    stored = Features.from_arrow_schema(parquet.read_schema(folder / paths[0]))
                    if data[split].features != stored:
                        raise BuildError(
                            f"{folder}: {config}/{split} loads as {data[split].features}, but its files "
                            f"hold {stored}; dataset_info in README.md is out of date"
                        )
    except broken as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise StorageError(f"{folder} does not fit this disk when loaded ({cause}); set TMPDIR") from error
        raise BuildError(f"{folder} does not load with load_dataset: {type(cause).__name__}: {cause}") from error
    except OSError as error:
        raise StorageError(f"{folder} does not fit this disk when loaded ({error}); set TMPDIR") from error
    return rows


def push(
    folder: Path,
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    create_pr: bool = False,
    revision: str | None = None,
    replace: bool = False,
    version: str | None = None,
    patience: Patience | None = None,
) -> Pushed:
    """Make the dataset repository `repo` equal to `folder` by one commit, or by one pull request with `create_pr`.

    Only the card differs: where it loads the dataset by the folder's name, the Hub's copy does so by `repo`.
    `token`: default HF_TOKEN, then the login of `hf auth login`. `private`: for a repository that is created now.
    `revision`: a branch (default main), created from main when missing. `replace`: publish even if the schema changes,
    files of others go, or the tag moves. `version`: tag the commit `v<version>`, but not for a pull request.
    Raises UserError for what the user can mend, PushError for what the Hub refuses or holds afterwards, and whatever
    `check` raises. A token is neither printed nor stored.
    """
    patience = patience or Patience()
    tag = _tag(version) if version is not None and not create_pr else None
    _checked_names(repo, revision)
    secret = _token(token)
    rows = check(folder)
    configs = hub_folder.read(folder).configs
    with _Session(secret, repo, patience) as session:
        visible = session.ask(lambda: session.open(private))
        source = source_of(folder, configs, session.repo)
        target = Target(session.api, session.repo, revision or "main", secret)
        if tag is not None:
            session.ask(lambda: _tag_is_free(target, tag, source, replace))
        landing = session.ask(_Attempts(target, source, _message(folder, rows, version), create_pr, replace))
        session.verify(landing, rows)
        if tag is not None:
            session.ask(lambda: target.tag(tag, landing.commit, replace=replace))
    return Pushed(session.repo, landing.url, landing.commit, landing.revision, tag, rows, landing.changed, visible)


class _Attempts:
    """One try at the commit a call; between calls it remembers enough not to commit twice after a lost answer."""

    def __init__(self, target: Target, source: Source, message: str, create_pr: bool, replace: bool) -> None:
        self.target, self.source, self.message = target, source, message
        self.create_pr, self.replace = create_pr, replace
        self.sent = False
        self.known_pulls: Mapping[str, str] | None = None

    def __call__(self) -> Landing:
        target, source = self.target, self.source
        if self.create_pr:
            if self.sent and self.known_pulls is not None:
                landed = target.landed_pull(source, self.known_pulls)
                if landed is not None:
                    return landed
            self.known_pulls = target.pulls()
        start = target.start(self.create_pr)
        plan = target.plan(source, start)
        if start == target.branch and not plan.add and not plan.delete:
            return Landing(plan.head, target.branch, target.page(), changed=self.sent)
        if not self.replace:
            target.guard(plan, source)
        if start != target.branch:
            target.api.create_branch(
                target.repo, branch=target.branch, revision=plan.head, repo_type="dataset", exist_ok=True
            )
            if not plan.add and not plan.delete:
                return Landing(plan.head, target.branch, target.page(), changed=True)
        self.sent = True
        return target.commit(plan, source, self.message, create_pr=self.create_pr)


class _Session:
    """Calls to the Hub for one push: retried, and their failures told in our errors, without the token."""

    def __init__(self, token: str, repo: str, patience: Patience) -> None:
        from huggingface_hub import HfApi

        self.api = HfApi(token=token, library_name="parley")
        self.repo, self.patience = repo, patience
        self._token, self._user = token, ""

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, failures()):
            told: ParleyError = explain(error, self.repo, self.api.endpoint, self._user or None)
        elif isinstance(error, ParleyError):
            told = error
        else:
            return
        text = str(told)
        if told is not error or self._token in text:
            raise type(told)(text.replace(self._token, "[token]")) from error

    def ask(self, action: Callable[[], T]) -> T:
        return persist(action, self.patience)

    def open(self, private: bool) -> bool:
        """Find or create the repository; whether it is private. Sets `repo` to the Hub's own spelling."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        self._user = self._user or str(self.api.whoami()["name"])
        try:
            info = self.api.dataset_info(self.repo)
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            self.api.create_repo(self.repo, repo_type="dataset", private=private, exist_ok=True)
            info = self.api.dataset_info(self.repo)
        self.repo = info.id
        if private and not info.private:
            raise UserError(
                f"{self.repo} exists and is public, and --private only applies to a new repository; make "
                f"it private at {self.api.endpoint}/datasets/{self.repo}/settings, or drop --private"
            )
        return bool(info.private)

    def verify(self, landing: Landing, expected: Rows) -> None:
        """Load the landed commit from the Hub into empty caches. Raises PushError unless every count is `expected`."""
        where = f"{self.repo} at commit {landing.commit} ({landing.revision})"
        order = json.dumps({"repo": self.repo, "configs": list(expected), "revision": landing.commit})
        for attempt in range(self.patience.attempts):
            found = _load_apart(order, self._token)
            if isinstance(found, dict):
                break
            self.patience.rest(attempt)
        else:
            raise PushError(
                f"{where} was pushed but does not load: {' <- '.join(found)[:2000]}. "
                f"Look at {landing.url}, then push again"
            )
        wrong = [
            f"{config}/{split}: {found.get(config, {}).get(split, 0)} instead of {count}"
            for config, splits in expected.items()
            for split, count in splits.items()
            if found.get(config, {}).get(split) != count
        ]
        wrong += [
            f"{config}/{split}: not in the folder"
            for config, splits in found.items()
            for split in splits
            if split not in expected[config]
        ]
        if wrong:
            raise PushError(
                f"{where} does not hold what was sent; rows of {'; '.join(wrong)}. It was not tagged. "
                f"Look at {landing.url}, then push again"
            )


def _load_apart(order: str, token: str) -> Rows | list[str]:
    """Run hub_rows with empty caches: the counts, or the chain of errors. The token goes by environment."""
    with tempfile.TemporaryDirectory(prefix="parley-verify-") as home:
        environment = {name: value for name, value in os.environ.items() if name not in _CACHES}
        environment |= {
            "HF_HOME": home,
            "HF_TOKEN": token,
            "TMPDIR": home,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }
        # -P: the program's own folder stays off sys.path, lest a recipe's builder be imported for a library.
        done = subprocess.run(
            [sys.executable, "-P", hub_rows.__file__],
            input=order,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if done.returncode == 0 and isinstance(answer, dict):
        return answer
    chain = answer if isinstance(answer, list) else [done.stderr.strip()[-1000:] or f"exit status {done.returncode}"]
    return [" ".join(str(line).split()) for line in chain]


def _tag_is_free(target: Target, tag: str, source: Source, replace: bool) -> None:
    """Raise UserError, before anything is sent, when `tag` marks other content than the folder's."""
    at = target.tagged(tag)
    if at is None or replace:
        return
    plan = target.against(source, at)
    if plan.add or plan.delete:
        raise UserError(taken(target.repo, tag, at))


def _tag(version: str) -> str:
    number = version.removeprefix("v")
    if not _VERSION.fullmatch(number):
        raise UserError(f"{version!r} cannot be a version; use digits, letters, '.', '-', as in 1.2.0")
    return f"v{number}"


def _checked_names(repo: str, revision: str | None) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"{repo!r} cannot be a repository: {error}") from error
    if repo.count("/") != 1:
        raise UserError(f"{repo!r} lacks its owner: write it as owner/name, the owner being you or an organisation")
    if revision is not None and (_COMMIT.fullmatch(revision) or not revision.strip()):
        raise UserError(f"{revision!r} is no branch to push to; name one, or leave it out for main")


def _token(given: str | None) -> str:
    """The token to use. Raises UserError, which does not repeat it."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import ENDPOINT

    found = (given or get_token() or "").strip()
    if not found:
        raise UserError(
            f"no Hugging Face token: run `hf auth login`, or set HF_TOKEN; make one with write access at "
            f"{ENDPOINT}/settings/tokens"
        )
    if not found.isascii() or not found.isprintable() or " " in found:  # it goes into an HTTP header
        raise UserError("the Hugging Face token holds spaces or other characters no token has; copy it anew")
    return found


def _message(folder: Path, rows: Rows, version: str | None) -> str:
    total = sum(count for splits in rows.values() for count in splits.values())
    return f"Publish {folder.resolve().name}{f' {version}' if version else ''}: {total} rows"


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    import datasets

    if datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
