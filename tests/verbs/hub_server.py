"""A server that speaks as much of the Hugging Face Hub's API as huggingface_hub needs to write and read models."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_somebody"


class Hub:
    """Repositories by name. Large files go by Git LFS, as on the Hub: anything that ends in .safetensors."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = ""
        self.most = None  # the size that is stated of every file, where it is not its own

    def commit(self, name, lines):
        repository = self.repositories[name]
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                repository["files"][value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                repository["files"][value["path"]] = self.objects[value["oid"]]
            else:
                del repository["files"][value["path"]]
        content = repr(sorted((path, hashlib.sha1(data).hexdigest()) for path, data in repository["files"].items()))
        repository["commit"] = hashlib.sha1(content.encode()).hexdigest()
        repository["log"].append(lines[0]["value"]["summary"])
        return {"commitUrl": f"{self.address}/{name}/commit/{repository['commit']}", "commitOid": repository["commit"]}


def wrong_card(content):
    """What is wrong with a card's metadata, as far as the Hub would refuse it; "" where nothing is."""
    found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    head = yaml.safe_load(found[1]) if found else None
    if not isinstance(head, dict) or not re.fullmatch(r"[a-z0-9.+-]+", head.get("license", "")):
        return "no license"
    if head["license"] == "other" and not re.fullmatch(r"[a-z0-9.-]+", head.get("license_name", "")):
        return "license other without license_name"
    for model in head.get("model-index", []):
        for result in model["results"]:
            if not (result["task"]["type"] and result["dataset"]["type"] and result["dataset"]["name"]):
                return "model-index: task or dataset without type"
            if not all(metric["type"] and "value" in metric for metric in result["metrics"]):
                return "model-index: metric without type or value"
    return ""


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def answer(self, value=None, status=200, headers=(), content=None):
        content = json.dumps(value).encode() if content is None else content
        self.send_response(status)
        sent = {"Content-Length": str(len(content)), **dict(headers)}
        for name, text in sent.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code, words):
        self.answer({"error": words}, status, {"X-Error-Code": code, "X-Error-Message": words})

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    @property
    def knows_who(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_POST(self):
        path, content, hub = unquote(urlsplit(self.path).path), self.body(), self.hub
        hub.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            wrong = wrong_card(json.loads(content)["content"])
            self.answer({"errors": [{"message": wrong}] * bool(wrong), "warnings": []}, 400 if wrong else 200)
        elif not self.knows_who:
            self.refuse(401, "", "Invalid username or password.")
        elif path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.repositories:
                self.answer({"error": "You already created this model repo", "url": f"{hub.address}/{name}"}, 409)
                return
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            hub.repositories[name] = {"files": {".gitattributes": b""}, "commit": "0" * 40, "log": [], "private": private}
            self.answer({"url": f"{hub.address}/{name}", "id": name, "name": name})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(content)["files"]
            ]
            self.answer({"files": modes}) if found[1] in hub.repositories else self.refuse(404, "RepoNotFound", "none")
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{hub.address}/lfs/{one['oid']}"}}}
                for one in json.loads(content)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.answer(hub.commit(found[1], [json.loads(line) for line in content.splitlines()]))
        else:
            self.refuse(404, "", f"no such address: {path}")

    def do_PUT(self):
        content, oid = self.body(), self.path.rpartition("/")[2]
        ok = hashlib.sha256(content).hexdigest() == oid
        self.hub.objects |= {oid: content} if ok else {}
        self.answer({}, 200 if ok else 400)

    def do_GET(self):
        path, hub = unquote(urlsplit(self.path).path), self.hub
        hub.asked.append(f"{self.command} {path}")
        found = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/]+)(?:/(resolve|revision|tree)/([^/]+))?(?:/(.*))?", path)
        repository = hub.repositories.get(found[1]) if found else None
        if repository is None or (repository["private"] and not self.knows_who):
            self.refuse(401 if repository is None else 404, "RepoNotFound", "Repository not found")
        elif found[3] not in (None, "main", repository["commit"]):
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {found[3]}")
        elif found[2] == "resolve":
            content = repository["files"].get(found[4])
            if content is None:
                self.refuse(404, "EntryNotFound", "Entry not found")
                return
            tags = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": repository["commit"]}
            self.answer(content=content, headers=tags | ({"X-Linked-Size": str(hub.most)} if hub.most else {}))
        elif found[2] == "tree":
            rows = [{"type": "file", "path": name, "size": len(data), "oid": ""} for name, data in repository["files"].items()]
            self.answer(rows)
        else:
            files = [{"rfilename": name} for name in repository["files"]]
            self.answer({"id": found[1], "sha": repository["commit"], "private": repository["private"], "siblings": files})

    do_HEAD = do_GET

    def log_message(self, *args): ...


@contextmanager
def hub_at_work():
    """A hub that is served on this machine while the context lasts."""
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
