"""A Hub on loopback: as much of huggingface.co's API as `huggingface_hub` needs for models.

    with HubServer({"secret-token": "user"}) as hub:
        ...  # clients with HF_ENDPOINT=hub.endpoint and HF_HUB_DISABLE_XET=1
        hub.repos["user/name"].files["README.md"]

Repositories are created, looked up, committed to (small files in the commit, large ones by LFS
before it) and downloaded from. Commits are atomic. Private repositories show themselves to their
owner only. `break_uploads` cuts the connection in the middle of the next large file.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

NAME = r"(?P<repo>[\w.-]+/[\w.-]+?)"
LFS_SUFFIXES = (".safetensors", ".bin")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST, as a broken line does


@dataclass
class Commit:
    """One state of a repository: its files, whole."""

    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A model repository; the first commit is empty."""

    name: str
    private: bool = False
    commits: list[Commit] = field(default_factory=list)

    def __post_init__(self):
        self.commit("initial commit", {})

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the newest commit, by path."""
        return self.commits[-1].files

    def commit(self, title: str, files: dict[str, bytes]) -> Commit:
        """Add a commit with these files, all of them."""
        seed = f"{self.name} {len(self.commits)} {title}"
        self.commits.append(Commit(hashlib.sha1(seed.encode()).hexdigest(), title, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        """Return the commit of a revision: main, or the id of one."""
        if revision == "main":
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.oid == revision), None)


class HubServer:
    """The server, its state, and the faults it was told to have.

    Args:
        tokens: names of users by token.
    """

    def __init__(self, tokens: dict[str, str]):
        self.tokens = tokens
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}  # LFS files by sha256
        self.broken: dict[str, int | None] = {}  # status of later uploads, by repository
        self.cut: set[str] = set()  # repositories whose first upload was cut
        self.lock = threading.Lock()
        self.http = _Server(("127.0.0.1", 0), _Handler)
        self.http.hub = self
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.http.shutdown()
        self.http.server_close()

    def break_uploads(self, repo: str, status: int | None = 403) -> None:
        """Cut the first upload of a large file to `repo`, and refuse later ones with `status`.

        None takes later ones, as after a line that was gone for a moment.
        """
        self.broken[repo] = status


class _RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, code: str | None = None, **content):
        self.status, self.message, self.code, self.content = status, message, code, content


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Stay silent about lines that were cut."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Stay silent."""

    def do_GET(self):  # noqa: N802
        self._answer(_GET)

    def do_HEAD(self):  # noqa: N802
        self._answer(_GET)

    def do_POST(self):  # noqa: N802
        self._answer(_POST)

    def do_PUT(self):  # noqa: N802
        self._answer({r"/lfs/" + NAME + r"/(?P<oid>\w{64})": _Handler.put_blob})

    # what the routes lead to

    def create_repo(self):
        user, given = self._user(), json.loads(self._body())
        if user is None:
            raise _RefusedError(401, "Invalid username or password.")
        owner = given.get("organization") or user
        if owner != user:
            raise _RefusedError(403, f"You don't have the rights to create a model under {owner}")
        name = f"{owner}/{given['name']}"
        url = {"url": f"{self.hub.endpoint}/{name}", "name": name}
        with self.hub.lock:
            if name in self.hub.repos:
                raise _RefusedError(409, "You already created this model repo", **url)
            self.hub.repos[name] = Repo(name, given.get("visibility") == "private")
        self._send_json(url)

    def validate_card(self):
        text = json.loads(self._body())["content"]
        errors = []
        head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
        try:
            metadata = yaml.safe_load(head.group(1)) if head else {}
            base = metadata.get("base_model", "a/b")
            if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base):
                errors.append(f'"base_model" with value "{base}" is not valid.')
            for model in metadata.get("model-index", []):
                for result in model["results"]:
                    _ = model["name"], result["task"]["type"], result["dataset"]["name"]
                    _ = result["dataset"]["type"], [m["type"] + "x" for m in result["metrics"]]
        except (yaml.YAMLError, KeyError, TypeError) as error:
            errors.append(f"invalid metadata: {error!r}")
        errors = [{"message": error} for error in errors]
        self._send_json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def show_repo(self, repo, revision="main"):
        repo = self._readable(repo)
        commit = self._commit(repo, revision)
        siblings = [{"rfilename": path} for path in commit.files]
        self._send_json({"id": repo.name, "modelId": repo.name, "sha": commit.oid,
                         "private": repo.private, "siblings": siblings, "tags": []})  # fmt: skip

    def show_tree(self, repo, revision):
        commit = self._commit(self._readable(repo), revision)
        self._send_json([
            {"type": "file", "path": path, "size": len(data), "oid": _sha1(data)}
            for path, data in commit.files.items()
        ])  # fmt: skip

    def choose_modes(self, repo, revision):
        files = self._writable(repo).files
        self._send_json({"files": [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": _sha1(files[file["path"]]) if file["path"] in files else None,
            }
            for file in json.loads(self._body())["files"]
        ]})  # fmt: skip

    def offer_lfs(self, repo):
        self._writable(repo)
        objects = json.loads(self._body())["objects"]
        for each in objects:
            if each["oid"] not in self.hub.blobs:
                href = f"{self.hub.endpoint}/lfs/{repo}/{each['oid']}"
                each["actions"] = {"upload": {"href": href}}
        self._send_json({"transfer": "basic", "objects": objects})

    def put_blob(self, repo, oid):
        if repo in self.hub.broken:
            self._break(repo)
        data = self._body()
        if hashlib.sha256(data).hexdigest() != oid:
            raise _RefusedError(400, "the content does not match its checksum")
        self.hub.blobs[oid] = data
        self._send_json({})

    def commit(self, repo, revision):
        repo = self._writable(repo)
        lines = [json.loads(line) for line in self._body().splitlines()]
        header, *operations = lines
        with self.hub.lock:
            files = dict(repo.files)
            for operation in operations:
                value = operation["value"]
                if operation["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif operation["key"] == "lfsFile" and value["oid"] in self.hub.blobs:
                    files[value["path"]] = self.hub.blobs[value["oid"]]
                else:
                    raise _RefusedError(400, f"cannot {operation['key']} {value['path']}")
            commit = repo.commit(header["value"]["summary"], files)
        url = f"{self.hub.endpoint}/{repo.name}/commit/{commit.oid}"
        self._send_json({"commitUrl": url, "commitOid": commit.oid, "success": True})

    def send_file(self, repo, revision, path):
        commit = self._commit(self._readable(repo), revision)
        headers = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            raise _RefusedError(404, "Entry not found", "EntryNotFound", headers=headers)
        data = commit.files[path]
        if path.endswith(LFS_SUFFIXES):
            etag = hashlib.sha256(data).hexdigest()
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        self._send(200, data, "application/octet-stream", {**headers, "ETag": f'"{_sha1(data)}"'})

    # what they share

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def _answer(self, routes):
        path = unquote(urlsplit(self.path).path)
        self._read: bytes | None = None
        matches = ((re.fullmatch(pattern, path), handle) for pattern, handle in routes.items())
        found, handle = next((m for m in matches if m[0]), (None, _Handler._unknown))
        try:
            handle(self, **(found.groupdict() if found else {}))
        except _RefusedError as refusal:
            self._body()  # what is left unread would be taken for the next request
            content = dict(refusal.content)
            headers = {"X-Error-Message": refusal.message, **content.pop("headers", {})}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self._send_json({"error": refusal.message, **content}, refusal.status, headers)

    def _unknown(self):
        raise _RefusedError(404, f"this Hub knows no {self.command} {self.path}")

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.hub.tokens.get(token)

    def _readable(self, name: str) -> Repo:
        repo = self.hub.repos.get(name)
        if repo is None or (repo.private and self._user() != name.split("/")[0]):
            raise _RefusedError(401 if self._user() is None else 404, "Repository not found",
                           "RepoNotFound")  # fmt: skip
        return repo

    def _writable(self, name: str) -> Repo:
        repo = self._readable(name)
        if self._user() != name.split("/")[0]:
            raise _RefusedError(403, "Forbidden: you have no write access")
        return repo

    def _commit(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _RefusedError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def _break(self, repo: str):
        if repo in self.hub.cut:
            if self.hub.broken[repo] is None:
                return
            raise _RefusedError(self.hub.broken[repo], "the signature of the upload has expired")
        self.hub.cut.add(repo)
        self.rfile.read(int(self.headers["Content-Length"]) // 2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()
        raise ConnectionAbortedError

    def _body(self) -> bytes:
        if self._read is None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                self._read = b"".join(iter(self._chunk, b""))
            else:
                self._read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return self._read

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline(), 16))
        self.rfile.readline()
        return data

    def _send_json(self, content, status=200, headers=None):
        self._send(status, json.dumps(content).encode(), "application/json", headers or {})

    def _send(self, status, data, kind, headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


_GET = {
    "/api/models/" + NAME: _Handler.show_repo,
    "/api/models/" + NAME + r"/revision/(?P<revision>[^/]+)": _Handler.show_repo,
    "/api/models/" + NAME + r"/tree/(?P<revision>[^/]+)(/.*)?": _Handler.show_tree,
    "/" + NAME + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)": _Handler.send_file,
}
_POST = {
    "/api/repos/create": _Handler.create_repo,
    "/api/validate-yaml": _Handler.validate_card,
    "/api/models/" + NAME + r"/preupload/(?P<revision>[^/]+)": _Handler.choose_modes,
    "/api/models/" + NAME + r"/commit/(?P<revision>[^/]+)": _Handler.commit,
    "/" + NAME + r"\.git/info/lfs/objects/batch": _Handler.offer_lfs,
}
