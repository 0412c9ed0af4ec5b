"""The loopback Hub's HTTP routes: accounts, repositories, uploads, commits, and reading them back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import yaml
from aiohttp import web

from tests.hub_store import Account, Blob, Commit, Refusal, Repo, Store

_REGULAR_LIMIT = 10 * 1024 * 1024  # bytes; anything larger goes to large file storage


class Routes:
    """The handlers over one store. `page` is the number of entries in one page of a listing."""

    def __init__(self, store: Store, tokens: dict[str, Account], page: int) -> None:
        self.store, self.tokens, self.page = store, tokens, page
        self.before_commit: list[Callable[[Repo], object]] = []

    def table(self) -> list[web.RouteDef]:
        api, files = "/api/{kind:models|datasets|spaces}/{ns}/{name}", "/{ns}/{name}"
        table = [
            web.get("/api/whoami-v2", self.whoami),
            web.post("/api/repos/create", self.create),
            web.delete("/api/repos/delete", self.delete),
            web.post("/api/validate-yaml", self.validate_yaml),
            web.get(api, self.info),
            web.get(api + "/revision/{rev}", self.info),
            web.post(api + "/preupload/{rev}", self.preupload),
            web.post(api + "/commit/{rev}", self.commit),
            web.get(api + "/tree/{rev}", self.tree),
            web.get(api + "/tree/{rev}/{path:.+}", self.tree),
            web.post(api + "/paths-info/{rev}", self.paths_info),
            web.get(api + "/refs", self.refs),
            web.get(api + "/commits/{rev}", self.commits),
            web.put(api + "/settings", self.settings),
            web.post(api + "/branch/{ref}", self.create_branch),
            web.delete(api + "/branch/{ref}", self.delete_branch),
            web.post(api + "/tag/{ref}", self.create_tag),
            web.delete(api + "/tag/{ref}", self.delete_tag),
            web.put("/storage/{oid}", self.put_object),
            web.post("/storage/{oid}/verify", self.verify_object),
        ]
        for prefix in ("/{kind:datasets|spaces}", ""):
            table += [
                web.post(prefix + "/{ns}/{name}.git/info/lfs/objects/batch", self.batch),
                web.get(prefix + files + "/resolve/{rev}/{path:.+}", self.resolve),
                web.get(prefix + files + "/raw/{rev}/{path:.+}", self.raw),
            ]
        return table

    # -- who and what -------------------------------------------------------------------------------------------------

    def account(self, request: web.Request) -> Account | None:
        """Who asks; None when nobody says. A token nobody gave out is refused."""
        given = request.headers.get("Authorization", "")
        if not given:
            return None
        account = self.tokens.get(given.removeprefix("Bearer "))
        if account is None:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return account

    def readable(self, request: web.Request) -> Repo:
        info = request.match_info
        account = self.account(request)
        repo = self.store.repo(info.get("kind", "models"), f"{info['ns']}/{info['name']}")
        if repo.private and (account is None or not account.owns(repo.namespace)):
            raise Refusal(401 if account is None else 404, "Repository not found", "RepoNotFound")
        return repo

    def writable(self, request: web.Request) -> tuple[Repo, Account]:
        repo, account = self.readable(request), self.account(request)
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        if not account.owns(repo.namespace) or not account.write:
            raise Refusal(403, f"You don't have the rights to write to {repo.id}")
        return repo, account

    async def whoami(self, request: web.Request) -> web.Response:
        account = self.account(request)
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        role = "write" if account.write else "read"
        return web.json_response(
            {
                "type": "user",
                "name": account.name,
                "fullname": account.name,
                "email": f"{account.name}@example.org",
                "orgs": [{"type": "org", "name": org} for org in account.orgs],
                "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": role}},
            }
        )

    # -- repositories -------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        account, asked = self.account(request), await request.json()
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        namespace, kind = asked.get("organization") or account.name, asked.get("type", "model") + "s"
        name = f"{namespace}/{asked['name']}"
        if not account.owns(namespace) or not account.write:
            raise Refusal(403, f'You don\'t have the rights to create a {kind[:-1]} under the namespace "{namespace}"')
        private = asked.get("visibility") == "private" or asked.get("private") is True
        try:
            repo = self.store.create(kind, name, account.name, private=private)
        except Refusal as refusal:
            if refusal.status == 409:
                refusal.fields["url"] = self.url(request, self.store.repo(kind, name).page)
            raise
        return web.json_response({"url": self.url(request, repo.page), "name": repo.id, "id": repo.id})

    async def delete(self, request: web.Request) -> web.Response:
        account, asked = self.account(request), await request.json()
        namespace = asked.get("organization") or (account.name if account else "")
        repo = self.store.repo(asked.get("type", "model") + "s", f"{namespace}/{asked['name']}")
        if account is None or not account.owns(repo.namespace):
            raise Refusal(403, f"You don't have the rights to delete {repo.id}")
        del self.store.repos[repo.kind, repo.id.lower()]
        return web.json_response({})

    async def settings(self, request: web.Request) -> web.Response:
        repo, _ = self.writable(request)
        asked = await request.json()
        repo.private = asked.get("visibility") == "private" or asked.get("private") is True
        return web.json_response({"private": repo.private})

    async def info(self, request: web.Request) -> web.Response:
        repo = self.readable(request)
        head = repo.at(request.match_info.get("rev", "main"))
        blobs = request.query.get("blobs", "").lower() in ("1", "true")
        card = _front_matter(head.files["README.md"].content.decode()) if "README.md" in head.files else {}
        siblings = [{"rfilename": path, **(_sizes(blob) if blobs else {})} for path, blob in head.files.items()]
        return web.json_response(
            {
                "_id": head.id[:24],
                "id": repo.id,
                "author": repo.namespace,
                "sha": head.id,
                "lastModified": head.date,
                "createdAt": repo.history("main")[-1].date,
                "private": repo.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "cardData": card,
                "siblings": siblings,
            }
        )

    async def refs(self, request: web.Request) -> web.Response:
        repo = self.readable(request)
        told: dict[str, Any] = {
            "branches": [_ref(name, f"refs/heads/{name}", commit) for name, commit in repo.branches.items()],
            "tags": [_ref(name, f"refs/tags/{name}", commit) for name, commit in repo.tags.items()],
            "converts": [],
        }
        if request.query.get("include_prs", "").lower() in ("1", "true"):
            told["pullRequests"] = [_ref(str(n), f"refs/pr/{n}", commit) for n, commit in repo.pulls.items()]
        return web.json_response(told)

    async def commits(self, request: web.Request) -> web.Response:
        history = self.readable(request).history(request.match_info["rev"])
        told = [
            {
                "id": one.id,
                "title": one.title,
                "message": one.message,
                "date": one.date,
                "authors": [{"user": one.author}],
            }
            for one in history
        ]
        return self.paged(request, told, {"X-Total-Count": str(len(told))})

    async def create_branch(self, request: web.Request) -> web.Response:
        repo, _ = self.writable(request)
        name, asked = request.match_info["ref"], await request.json() if request.can_read_body else {}
        if name in repo.branches:
            raise Refusal(409, f"Reference refs/heads/{name} already exists")
        repo.branches[name] = repo.at(asked.get("startingPoint") or "main").id
        return web.json_response({})

    async def delete_branch(self, request: web.Request) -> web.Response:
        repo, _ = self.writable(request)
        name = request.match_info["ref"]
        if name == "main":
            raise Refusal(403, "Cannot delete refs/heads/main")
        if repo.branches.pop(name, None) is None:
            raise Refusal(404, f"Reference refs/heads/{name} does not exist", "RevisionNotFound")
        return web.json_response({})

    async def create_tag(self, request: web.Request) -> web.Response:
        repo, _ = self.writable(request)
        commit, tag = repo.at(request.match_info["ref"]), (await request.json())["tag"]
        if tag in repo.tags:
            raise Refusal(409, f"Tag reference exists already: refs/tags/{tag}")
        repo.tags[tag] = commit.id
        return web.json_response({})

    async def delete_tag(self, request: web.Request) -> web.Response:
        repo, _ = self.writable(request)
        if repo.tags.pop(request.match_info["ref"], None) is None:
            raise Refusal(404, "Tag not found", "RevisionNotFound")
        return web.json_response({})

    # -- uploads ------------------------------------------------------------------------------------------------------

    async def validate_yaml(self, request: web.Request) -> web.Response:
        errors, warnings = _card_problems((await request.json())["content"])
        status = 400 if errors else 200
        if request.headers.get("Accept", "").startswith("text/plain"):
            return web.Response(text="".join(f"- Error: {one}\n" for one in errors), status=status)
        told = {"errors": [{"message": one} for one in errors], "warnings": [{"message": one} for one in warnings]}
        return web.json_response(told, status=status)

    async def preupload(self, request: web.Request) -> web.Response:
        repo = self.readable(request) if "create_pr" in request.query else self.writable(request)[0]
        asked, revision = await request.json(), request.match_info["rev"]
        if len(asked["files"]) > 256:
            raise Refusal(413, "Too many files in one preupload request")
        ignored = [line for line in (asked.get("gitIgnore") or "").splitlines() if line and line[0] != "#"]
        told = []
        for file in asked["files"]:
            path, held = file["path"], repo.at(revision).files.get(file["path"])
            large = repo.is_large(path, revision) or file["size"] > _REGULAR_LIMIT or _is_binary(file["sample"])
            told.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": any(fnmatch(path, pattern) for pattern in ignored),
                    **({"oid": held.etag} if held else {}),
                }
            )
        return web.json_response({"files": told})

    async def batch(self, request: web.Request) -> web.Response:
        self.readable(request)
        asked = json.loads(await request.read())
        told = []
        for one in asked["objects"]:
            href = self.url(request, f"/storage/{one['oid']}")
            actions = {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}
            told.append(
                {
                    "oid": one["oid"],
                    "size": one["size"],
                    **({} if one["oid"] in self.store.large else {"actions": actions}),
                }
            )
        return web.json_response({"transfer": "basic", "objects": told}, content_type="application/vnd.git-lfs+json")

    async def put_object(self, request: web.Request) -> web.Response:
        content, oid = await request.read(), request.match_info["oid"]
        if Blob(content).sha256 != oid:
            raise Refusal(400, "The content does not have the announced SHA-256")
        self.store.large[oid] = content
        return web.Response(headers={"ETag": f'"{oid}"'})

    async def verify_object(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if len(self.store.large.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(404, "No such object of this size")
        return web.json_response({})

    async def commit(self, request: web.Request) -> web.Response:
        opens_pull, revision = "create_pr" in request.query, request.match_info["rev"]
        repo = self.readable(request) if opens_pull else self.writable(request)[0]
        account = self.account(request)
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        lines = [json.loads(line) for line in (await request.read()).splitlines() if line.strip()]
        if self.before_commit:
            self.before_commit.pop(0)(repo)
        header = next(line["value"] for line in lines if line["key"] == "header")
        base = self.base(repo, revision, header.get("parentCommit"), opens_pull)
        files = self.store.changed(base.files, [(one["key"], one["value"]) for one in lines if one["key"] != "header"])
        if "README.md" in files and (errors := _card_problems(files["README.md"].content.decode())[0]):
            raise Refusal(400, "; ".join(errors))
        commit = repo.add(base, header["summary"], account.name, files, header.get("description", ""))
        url = self.url(request, f"{repo.page}/commit/{commit.id}")
        told = {"success": True, "commitOid": commit.id, "commitUrl": url, "hookOutput": ""}
        if opens_pull:
            number = len(repo.pulls) + 1
            repo.pulls[number] = commit.id
            told["pullRequestUrl"] = self.url(request, f"{repo.page}/discussions/{number}")
        elif revision.startswith("refs/pr/"):
            repo.pulls[int(revision.removeprefix("refs/pr/"))] = commit.id
        else:
            repo.branches[revision] = commit.id
        return web.json_response(told)

    @staticmethod
    def base(repo: Repo, revision: str, parent: str | None, opens_pull: bool) -> Commit:
        """The commit to build on: a branch's head, which must be the parent the client saw."""
        head = repo.at(revision)
        if revision not in repo.branches and (opens_pull or not revision.startswith("refs/pr/")):
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if opens_pull:
            return repo.at(parent) if parent else head
        if parent and not head.id.startswith(parent):
            raise Refusal(412, "The branch was updated since you opened this page. Please refresh and try again.")
        return head

    # -- reading ------------------------------------------------------------------------------------------------------

    async def tree(self, request: web.Request) -> web.Response:
        repo, info = self.readable(request), request.match_info
        head, folder = repo.at(info["rev"]), info.get("path", "").strip("/")
        start = f"{folder}/" if folder else ""
        below = [path for path in head.files if path.startswith(start)]
        if folder and not below:
            raise Refusal(404, f"{folder} does not exist on {info['rev']}", "EntryNotFound")
        deep = request.query.get("recursive", "").lower() in ("1", "true")
        wanted = {
            start + "/".join(parts[: depth + 1])
            for path in below
            for parts in [path[len(start) :].split("/")]
            for depth in range(len(parts) if deep else 1)
        }
        expand = request.query.get("expand", "").lower() in ("1", "true")
        return self.paged(request, [self.entry(repo, head, path, expand) for path in sorted(wanted)])

    async def paths_info(self, request: web.Request) -> web.Response:
        repo = self.readable(request)
        head = repo.at(request.match_info["rev"])
        if request.content_type == "application/json":
            asked = await request.json()
            paths, expand = asked["paths"], bool(asked.get("expand"))
        else:
            form = await request.post()
            paths, expand = [str(path) for path in form.getall("paths", [])], str(form.get("expand")).lower() == "true"
        folders = {path[:cut] for path in head.files for cut, sign in enumerate(path) if sign == "/"}
        there = [path.strip("/") for path in paths if path.strip("/") in head.files or path.strip("/") in folders]
        return web.json_response([self.entry(repo, head, path, expand) for path in there])

    @staticmethod
    def entry(repo: Repo, head: Commit, path: str, expand: bool) -> dict[str, Any]:
        blob = head.files.get(path)
        told: dict[str, Any] = {"type": "directory", "oid": Blob(path.encode()).git_oid, "size": 0, "path": path}
        if blob is not None:
            told |= {"type": "file", "oid": blob.git_oid, "size": len(blob.content), **_lfs(blob)}
        if expand:
            last = repo.last_touched(path, head.id)
            told["lastCommit"] = {"id": last.id, "title": last.title, "date": last.date}
        return told

    async def resolve(self, request: web.Request) -> web.Response:
        head, blob = self.found(request)
        size = len(blob.content)
        headers = {
            "X-Repo-Commit": head.id,
            "ETag": f'"{blob.etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if blob.lfs:
            headers |= {"X-Linked-ETag": f'"{blob.etag}"', "X-Linked-Size": str(size)}
        if "Range" not in request.headers:
            return web.Response(body=blob.content, headers=headers)
        part = request.http_range
        first, stop, _ = part.indices(size)
        if first >= size or first >= stop:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        return web.Response(status=206, body=blob.content[first:stop], headers=headers)

    async def raw(self, request: web.Request) -> web.Response:
        head, blob = self.found(request)
        return web.Response(body=blob.git, headers={"X-Repo-Commit": head.id, "ETag": f'"{blob.git_oid}"'})

    def found(self, request: web.Request) -> tuple[Commit, Blob]:
        head, path = self.readable(request).at(request.match_info["rev"]), request.match_info["path"]
        if path not in head.files:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers={"X-Repo-Commit": head.id})
        return head, head.files[path]

    def paged(self, request: web.Request, entries: list[Any], headers: dict[str, str] | None = None) -> web.Response:
        """One page of a listing, with a `Link` to the next."""
        start = int(request.query.get("cursor", "0"))
        headers = dict(headers or {})
        if start + self.page < len(entries):
            following = request.url.update_query(cursor=str(start + self.page))
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(entries[start : start + self.page], headers=headers)

    @staticmethod
    def url(request: web.Request, path: str) -> str:
        return f"http://{request.host}{path}"


def _ref(name: str, ref: str, commit: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": commit}


def _lfs(blob: Blob) -> dict[str, Any]:
    if not blob.lfs:
        return {}
    return {"lfs": {"oid": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.git)}}


def _sizes(blob: Blob) -> dict[str, Any]:
    told: dict[str, Any] = {"size": len(blob.content), "blobId": blob.git_oid}
    return told | (
        {"lfs": {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.git)}} if blob.lfs else {}
    )


def _is_binary(sample: str) -> bool:
    return b"\0" in base64.b64decode(sample)


def _front_matter(readme: str) -> Any:
    head = readme.split("\n---", 1)[0].removeprefix("---") if readme.startswith("---") else ""
    return yaml.safe_load(head) or {}


def _card_problems(readme: str) -> tuple[list[str], list[str]]:
    """Errors and warnings of a card's metadata."""
    try:
        head: object = _front_matter(readme)
    except yaml.YAMLError as error:
        return [f"YAML metadata: {error}"], []
    if not isinstance(head, dict):
        return ["YAML metadata must be an object"], []
    wrong = [
        f'"{name}" must be a string or a list'
        for name in ("license", "language")
        if name in head and not isinstance(head[name], (str, list))
    ]
    return wrong, [] if head else ["empty or missing yaml metadata in repo card"]
