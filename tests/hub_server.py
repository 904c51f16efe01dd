"""A small hub on loopback, as huggingface_hub speaks to Hugging Face's: repositories with files, read and written."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """`repositories`: (kind, OWNER/NAME) -> {path: bytes}; kind: "models" or "spaces". `asked`: the requests so far."""

    def __init__(self):
        self.repositories: dict[tuple[str, str], dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.created: list[dict] = []
        self.uploads: dict[str, bytes] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, name: str, files: dict[str, bytes]) -> None:
        self.repositories["models", name] = files

    def commit(self, files: dict[str, bytes]) -> str:
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, body=b"", **headers) -> None:
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        kind, owner_name, rest = self.parted(path)
        files = self.hub.repositories.get((kind, owner_name))
        if files is None:
            return self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        commit = self.hub.commit(files)
        revision, _, file = rest.removeprefix("resolve/").partition("/")
        if rest.startswith(("tree/", "revision/")):
            revision, file = rest.split("/")[1], None
        if revision and revision not in ("main", commit):
            return self.answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        if rest.startswith("tree/"):
            return self.answer(200, [self.entry(path, data) for path, data in files.items()])
        if not rest.startswith("resolve/"):
            siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
            return self.answer(200, {"id": owner_name, "sha": commit, "siblings": siblings, "tags": []})
        if file not in files:
            return self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        data = files[file]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self.answer(200, data, ETag=etag, X_Repo_Commit=commit, Accept_Ranges="bytes")

    do_HEAD = do_GET

    def do_POST(self):
        path, body = unquote(urlsplit(self.path).path), self.body()
        self.hub.asked.append(f"{self.command} {path}")
        if path == "/api/repos/create":
            asked = json.loads(body)
            self.hub.created.append(asked)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.hub.repositories.setdefault((asked.get("type", "model") + "s", name), {})
            return self.answer(200, {"url": f"{self.hub.address}/{name}", "name": name, "id": name})
        kind, name, rest = self.parted(path)
        if rest.startswith("preupload/"):
            files = json.loads(body)["files"]
            large = [{"path": each["path"], "uploadMode": self.mode(each), "shouldIgnore": False} for each in files]
            return self.answer(200, {"files": large})
        if rest.startswith("commit/"):
            files = self.hub.repositories[kind, name]
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = self.hub.uploads[value["oid"]]
            commit = self.hub.commit(files)
            url = f"{self.hub.address}/{name}/commit/{commit}"
            return self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            wanted = [
                each | {"actions": {"upload": {"href": f"{self.hub.address}/upload/{each['oid']}"}}} for each in objects
            ]
            return self.answer(200, {"objects": wanted, "transfer": "basic"})
        self.answer(404, {"error": path})

    def do_PUT(self):
        self.hub.asked.append(f"PUT {self.path}")
        self.hub.uploads[self.path.rpartition("/")[2]] = self.body()
        self.answer(200)

    @staticmethod
    def mode(file: dict) -> str:
        return "lfs" if file["path"].endswith((".gguf", ".safetensors", ".wasm")) else "regular"

    @staticmethod
    def entry(path: str, data: bytes) -> dict:
        return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    @staticmethod
    def parted(path: str) -> tuple[str, str, str]:
        """Kind, OWNER/NAME, and what follows."""
        kind, owner, name, rest = re.fullmatch(
            r"/(?:api/)?(?:(models|spaces)/)?([^/]+)/([^/]+)(?:/(.*))?", path
        ).groups()
        return kind or "models", f"{owner}/{name}", rest or ""
