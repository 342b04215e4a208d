"""The workspace's HTTP side: one handler a route, errors in the shape that the real API gives them."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from athlete_assets_tests.fake_feature_store.endpoints import Call, FeatureStoreEndpoints, Refused
from athlete_assets_tests.fake_workspace.cluster import Clusters, Run
from athlete_assets_tests.fake_workspace.faults import Fate, Faults
from athlete_assets_tests.fake_workspace.mlflow_endpoints import (
    MANAGED,
    REGISTRY,
    TRACKING,
    WORKSPACE_ID,
    MlflowError,
    ModelRegistry,
    Tracking,
)

CLIENT_ID, CLIENT_SECRET = "11111111-aaaa-bbbb-cccc-222222222222", "dose-a-client-secret"
CLUSTER_TOKEN = "cluster-internal"


class ApiError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def not_found(message: str) -> ApiError:
    return ApiError(404, "RESOURCE_DOES_NOT_EXIST", message)


@dataclass
class Request:
    """One request as it arrived; `principal` is who the token belongs to."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    principal: str = ""

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}


@dataclass
class Answer:
    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Answer:
        return cls(json.dumps(value).encode(), headers={"Content-Type": "application/json"})


Handler = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], str]] = []


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Marks a method of a workspace as the handler of `method` requests whose whole path matches `pattern`."""

    def mark(handler: Handler) -> Handler:
        ROUTES.append((method, re.compile(pattern + r"\Z"), handler.__name__))
        return handler

    return mark


class FakeWorkspace:
    """A workspace in a folder. Use it as a context manager; `url` is its host."""

    def __init__(self, root: Path, dbfs: bool = True) -> None:
        self.root = root
        self.dbfs_enabled = dbfs
        for name in ("Volumes", "dbfs", "clusters", "tables", *MANAGED):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.faults = Faults()
        self.journal: list[Request] = []
        self.tokens: dict[str, str] = {CLUSTER_TOKEN: "cluster"}
        self.service_principals = {CLIENT_ID: CLIENT_SECRET}
        self.secrets: dict[str, dict[str, str]] = {}
        self.secret_acls: dict[str, dict[str, str]] = {}
        self.permissions: dict[str, list[dict[str, str]]] = {}
        self.securables: dict[str, set[str]] = {"catalog": set(), "schema": set(), "volume": set()}
        self.grants: dict[tuple[str, str], dict[str, set[str]]] = {}
        self.admins: set[str] = set()
        self.enforce_rights = False
        self.pools: set[str] = set()
        self.policies: dict[str, dict[str, Any]] = {}
        self.existing_clusters: dict[str, dict[str, Any]] = {}
        self.cluster_libraries: dict[str, list[str]] = {}
        self.volume_rights: dict[str, set[str]] | None = None
        """For each volume, who may use it; None: anyone with a token."""
        self._mounted: list[tuple[str, re.Pattern[str], Handler]] = []
        self._handles: dict[int, tuple[Path, bytearray]] = {}
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.clusters = Clusters(root, self.url, CLUSTER_TOKEN)
        self.tracking = Tracking(root)
        self.models = ModelRegistry(root, self.securables["schema"])
        self.feature_store = FeatureStoreEndpoints(self.clusters.table_folder)

    def __enter__(self) -> FakeWorkspace:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clusters.stop()
        self.tracking.stop()
        self._server.shutdown()
        self._server.server_close()

    # what a test says and asks

    def add_token(self, token: str, principal: str) -> str:
        self.tokens[token] = principal
        return token

    def mount(self, method: str, pattern: str, handler: Handler) -> None:
        """Lets a part of the workspace that lives elsewhere answer these requests, several at once."""
        self._mounted.append((method, re.compile(pattern + r"\Z"), handler))

    def add_volume(self, path: str) -> Path:
        """Creates the volume `/Volumes/<catalog>/<schema>/<volume>`; its folder here."""
        folder = self.root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def deal(self, *fates: Fate) -> None:
        """The fates of the next runs, in order; later runs execute undisturbed."""
        self.clusters.fates.extend(fates)

    @property
    def runs(self) -> list[Run]:
        return list(self.clusters.runs.values())

    def requests(self, path: str, method: str = "") -> list[Request]:
        return [
            request
            for request in self.journal
            if re.search(path, request.path) and (not method or request.method == method)
        ]

    def staged_files(self) -> dict[str, bytes]:
        """Every file that lies on a volume or on DBFS now."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for top in ("Volumes", "dbfs")
            for path in sorted((self.root / top).rglob("*"))
            if path.is_file()
        }

    # sign-in

    @route("GET", "/oidc/.well-known/oauth-authorization-server")
    def oidc_endpoints(self, request: Request) -> Any:
        return {
            "authorization_endpoint": f"{self.url}/oidc/v1/authorize",
            "token_endpoint": f"{self.url}/oidc/v1/token",
        }

    @route("POST", "/oidc/v1/token")
    def oidc_token(self, request: Request) -> Any:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        if scheme.lower() != "basic" or self.service_principals.get(unquote(user)) != unquote(password):
            raise ApiError(401, "invalid_client", "Client authentication failed")
        token = self.add_token(f"oauth-{uuid.uuid4()}", unquote(user))
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

    @route("GET", "/api/2.0/preview/scim/v2/Me")
    def me(self, request: Request) -> Any:
        return {"id": "1", "userName": request.principal, "active": True}

    # DBFS

    def _dbfs(self, path: str) -> Path:
        if not self.dbfs_enabled:
            raise ApiError(403, "PERMISSION_DENIED", "Public DBFS root is disabled. Access is denied on path: " + path)
        return self.root / "dbfs" / path.lstrip("/")

    @route("POST", "/api/2.0/dbfs/create")
    def dbfs_create(self, request: Request) -> Any:
        path = self._dbfs(request.json["path"])
        if path.exists() and not request.json.get("overwrite"):
            raise ApiError(400, "RESOURCE_ALREADY_EXISTS", f"{path} exists")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = uuid.uuid4().int % 10**12
        self._handles[handle] = (path, bytearray())
        return {"handle": handle}

    @route("POST", "/api/2.0/dbfs/add-block")
    def dbfs_add_block(self, request: Request) -> Any:
        self._handles[request.json["handle"]][1].extend(base64.b64decode(request.json["data"]))

    @route("POST", "/api/2.0/dbfs/close")
    def dbfs_close(self, request: Request) -> Any:
        path, data = self._handles.pop(request.json["handle"])
        path.write_bytes(data)

    @route("GET", "/api/2.0/dbfs/read")
    def dbfs_read(self, request: Request) -> Any:
        data = self._readable(self._dbfs(request.query["path"]), request.query["path"])
        offset, length = int(request.query.get("offset", 0)), int(request.query.get("length", 2**20))
        block = data[offset : offset + length]
        return {"bytes_read": len(block), "data": base64.b64encode(block).decode()}

    @route("GET", "/api/2.0/dbfs/get-status")
    def dbfs_get_status(self, request: Request) -> Any:
        path = self._dbfs(request.query["path"])
        if not path.exists():
            raise not_found(f"No file or directory exists on path {request.query['path']}.")
        return {"path": request.query["path"], "is_dir": path.is_dir(), "file_size": path.stat().st_size}

    @route("GET", "/api/2.0/dbfs/list")
    def dbfs_list(self, request: Request) -> Any:
        folder = self._dbfs(request.query["path"])
        if not folder.is_dir():
            raise not_found(f"No file or directory exists on path {request.query['path']}.")
        return {
            "files": [
                {
                    "path": f"{request.query['path'].rstrip('/')}/{entry.name}",
                    "is_dir": entry.is_dir(),
                    "modification_time": int(entry.stat().st_mtime * 1000),
                }
                for entry in sorted(folder.iterdir())
            ]
        }

    @route("POST", "/api/2.0/dbfs/mkdirs")
    def dbfs_mkdirs(self, request: Request) -> Any:
        self._dbfs(request.json["path"]).mkdir(parents=True, exist_ok=True)

    @route("POST", "/api/2.0/dbfs/delete")
    def dbfs_delete(self, request: Request) -> Any:
        path = self._dbfs(request.json["path"])
        if path.is_dir():
            if any(path.iterdir()) and not request.json.get("recursive"):
                raise ApiError(400, "IO_ERROR", f"{path} is not empty")
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    # Files API

    def _volume_file(self, request: Request, path: str) -> Path:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] in MANAGED and ".." not in parts:
            return self.root.joinpath(*parts)
        if parts[0] != "Volumes" or ".." in parts:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {path}")
        volume = "/" + "/".join(parts[:4])
        if len(parts) < 4 or not (self.root / volume.lstrip("/")).is_dir():
            raise ApiError(404, "NOT_FOUND", f"Volume '{'.'.join(parts[1:4])}' does not exist.")
        if self.volume_rights is not None and request.principal not in self.volume_rights.get(volume, set()):
            name = ".".join(parts[1:4])
            raise ApiError(403, "PERMISSION_DENIED", f"User does not have WRITE VOLUME on Volume '{name}'.")
        return self.root.joinpath(*parts)

    def _readable(self, path: Path, name: str) -> bytes:
        if not path.is_file() or not self.clusters.events_visible(name):
            raise not_found(f"The file being accessed is not found: {name}")
        return path.read_bytes()

    @route("PUT", "/api/2.0/fs/files(/.+)")
    def file_put(self, request: Request, path: str) -> Any:
        target = self._volume_file(request, path)
        top = target.relative_to(self.root).parts
        if top[0] == "Models":
            self.models.refuse_write(list(top))
        if top[0] in MANAGED:
            target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.is_dir():
            raise ApiError(404, "NOT_FOUND", f"The directory being accessed is not found: {path}")
        if target.exists() and request.query.get("overwrite") == "false":
            raise ApiError(409, "ALREADY_EXISTS", f"The resource {path} already exists.")
        target.write_bytes(request.body)
        return Answer(b"", 204)

    @route("GET", "/api/2.0/fs/files(/.+)")
    def file_get(self, request: Request, path: str) -> Any:
        data = self._readable(self._volume_file(request, path), unquote(path))
        return Answer(data, headers={"Content-Type": "application/octet-stream"})

    @route("HEAD", "/api/2.0/fs/files(/.+)")
    def file_head(self, request: Request, path: str) -> Any:
        data = self._readable(self._volume_file(request, path), unquote(path))
        return Answer(data, headers={"Content-Type": "application/octet-stream"})

    @route("DELETE", "/api/2.0/fs/files(/.+)")
    def file_delete(self, request: Request, path: str) -> Any:
        target = self._volume_file(request, path)
        if not target.is_file():
            raise ApiError(404, "NOT_FOUND", f"The file being accessed is not found: {path}")
        target.unlink()
        return Answer(b"", 204)

    @route("PUT", "/api/2.0/fs/directories(/.+)")
    def directory_put(self, request: Request, path: str) -> Any:
        self._volume_file(request, path).mkdir(parents=True, exist_ok=True)
        return Answer(b"", 204)

    @route("GET", "/api/2.0/fs/directories(/.+)")
    def directory_get(self, request: Request, path: str) -> Any:
        folder = self._volume_file(request, path)
        if not folder.is_dir():
            raise ApiError(404, "NOT_FOUND", f"The directory being accessed is not found: {path}")
        return {
            "contents": [
                {
                    "path": "/" + str(entry.relative_to(self.root)),
                    "name": entry.name,
                    "is_directory": entry.is_dir(),
                    "file_size": entry.stat().st_size,
                    "last_modified": int(entry.stat().st_mtime * 1000),
                }
                for entry in sorted(folder.iterdir())
            ]
        }

    @route("HEAD", "/api/2.0/fs/directories(/.+)")
    def directory_head(self, request: Request, path: str) -> Any:
        if not self._volume_file(request, path).is_dir():
            raise ApiError(404, "NOT_FOUND", f"The directory being accessed is not found: {path}")
        return Answer(b"")

    @route("DELETE", "/api/2.0/fs/directories(/.+)")
    def directory_delete(self, request: Request, path: str) -> Any:
        folder = self._volume_file(request, path)
        if not folder.is_dir():
            raise ApiError(404, "NOT_FOUND", f"The directory being accessed is not found: {path}")
        if any(folder.iterdir()):
            raise ApiError(400, "DIRECTORY_NOT_EMPTY", f"{path} is not empty")
        folder.rmdir()
        return Answer(b"", 204)

    # jobs and clusters

    @route("POST", "/api/2.[12]/jobs/runs/submit")
    def runs_submit(self, request: Request) -> Any:
        body = request.json
        if len(body.get("idempotency_token", "")) > 64:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "idempotency_token is longer than 64 characters")
        conf = (body["tasks"][0].get("new_cluster") or {}).get("spark_conf", {})
        if "spark.master" in conf:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "spark.master cannot be set on this cluster")
        cluster = body["tasks"][0].get("existing_cluster_id")
        if cluster and cluster not in self.existing_clusters:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Cluster {cluster} does not exist")
        return {"run_id": self.clusters.submit(body, request.principal).run_id}

    def _run(self, run_id: Any) -> Run:
        run = self.clusters.runs.get(int(run_id))
        if run is None:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Run {run_id} does not exist.")
        return run

    @route("GET", "/api/2.[12]/jobs/runs/get")
    def runs_get(self, request: Request) -> Any:
        return self._run(request.query["run_id"]).as_dict(self.url)

    @route("GET", "/api/2.[12]/jobs/runs/list")
    def runs_list(self, request: Request) -> Any:
        if int(request.query.get("limit", 20)) > 25:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "limit must be at most 25")
        runs = [run for run in self.runs[::-1] if request.query.get("active_only") != "true" or not run.ended]
        start, limit = int(request.query.get("page_token", 0)), int(request.query.get("limit", 20))
        described = [run.as_dict(self.url) for run in runs[start : start + limit]]
        if request.query.get("expand_tasks") != "true":
            for run in described:
                del run["tasks"]
        page: dict[str, Any] = {"runs": described, "has_more": len(runs) > start + limit}
        return page | ({"next_page_token": str(start + limit)} if page["has_more"] else {})

    @route("POST", "/api/2.[12]/jobs/runs/cancel")
    def runs_cancel(self, request: Request) -> Any:
        self.clusters.cancel(self._run(request.json["run_id"]))

    @route("GET", "/api/2.1/clusters/get")
    def clusters_get(self, request: Request) -> Any:
        cluster = self.existing_clusters.get(request.query["cluster_id"])
        if cluster is None:
            raise ApiError(400, "INVALID_PARAMETER_VALUE", f"Cluster {request.query['cluster_id']} does not exist")
        return {"cluster_id": request.query["cluster_id"], **cluster}

    @route("GET", "/api/2.1/clusters/list")
    def clusters_list(self, request: Request) -> Any:
        return {"clusters": [{"cluster_id": name, **cluster} for name, cluster in self.existing_clusters.items()]}

    @route("POST", "/api/2.1/clusters/create")
    def clusters_create(self, request: Request) -> Any:
        body = request.json
        if not {"instance_pool_id", "node_type_id"} & set(body) or not {"num_workers", "autoscale"} & set(body):
            raise ApiError(400, "INVALID_PARAMETER_VALUE", "a cluster needs nodes and a size")
        cluster = f"made-{uuid.uuid4()}"
        self.existing_clusters[cluster] = {**body, "state": "PENDING", "start_time": int(time.time() * 1000)}
        return {"cluster_id": cluster}

    @route("POST", "/api/2.1/clusters/permanent-delete")
    def clusters_permanent_delete(self, request: Request) -> Any:
        self.existing_clusters.pop(request.json["cluster_id"], None)

    @route("GET", "/api/2.0/libraries/cluster-status")
    def libraries_cluster_status(self, request: Request) -> Any:
        installed = self.cluster_libraries.get(request.query["cluster_id"], [])
        statuses = [{"library": {"pypi": {"package": package}}, "status": "INSTALLED"} for package in installed]
        return {"cluster_id": request.query["cluster_id"], "library_statuses": statuses}

    @route("PATCH", "/api/2.0/permissions/([a-z-]+)/([^/]+)")
    def permissions_patch(self, request: Request, kind: str, name: str) -> Any:
        granted = self.permissions.setdefault(f"{kind}/{name}", [])
        granted.extend(request.json.get("access_control_list", []))
        return {"object_id": f"/{kind}/{name}", "object_type": kind, "access_control_list": []}

    # clusters' surroundings

    @route("GET", "/api/2.1/clusters/spark-versions")
    def spark_versions(self, request: Request) -> Any:
        return {"versions": [{"key": key, "name": key} for key in ("16.4.x-scala2.12", "17.3.x-scala2.13")]}

    @route("GET", "/api/2.1/clusters/list-node-types")
    def node_types(self, request: Request) -> Any:
        return {"node_types": [{"node_type_id": "m5d.xlarge"}]}

    @route("GET", "/api/2.0/instance-pools/get")
    def pools_get(self, request: Request) -> Any:
        pool = request.query["instance_pool_id"]
        if pool not in self.pools:
            raise not_found(f"Can't find an instance pool with id: {pool}")
        return {"instance_pool_id": pool, "instance_pool_name": pool}

    @route("GET", "/api/2.0/policies/clusters/list")
    def policies_list(self, request: Request) -> Any:
        return {"policies": list(self.policies.values())}

    @route("GET", "/api/2.0/policies/clusters/get")
    def policies_get(self, request: Request) -> Any:
        if request.query["policy_id"] not in self.policies:
            raise not_found(f"Policy {request.query['policy_id']} does not exist")
        return self.policies[request.query["policy_id"]]

    @route("POST", "/api/2.0/policies/clusters/create")
    def policies_create(self, request: Request) -> Any:
        json.loads(request.json["definition"])
        policy = f"policy-{len(self.policies) + 1}"
        self.policies[policy] = {**request.json, "policy_id": policy}
        return {"policy_id": policy}

    @route("POST", "/api/2.0/policies/clusters/edit")
    def policies_edit(self, request: Request) -> Any:
        self.policies[request.json["policy_id"]] = request.json

    @route("GET", "/api/2.0/permissions/([a-z-]+)/([^/]+)")
    def permissions_get(self, request: Request, kind: str, name: str) -> Any:
        return {"object_type": kind, "access_control_list": self.permissions.get(f"{kind}/{name}", [])}

    # Unity Catalog: securables by full name, what is granted on each, and what follows from the levels above

    def _securable(self, kind: str, name: str) -> None:
        if name not in self.securables[kind]:
            raise ApiError(404, f"{kind.upper()}_DOES_NOT_EXIST", f"{kind.capitalize()} '{name}' does not exist.")

    def _needs(self, request: Request, privilege: str, kind: str, name: str) -> None:
        if self.enforce_rights and privilege not in self._effective(request.principal, kind, name):
            message = f"User does not have {privilege.replace('_', ' ')} on {kind.capitalize()} '{name}'."
            raise ApiError(403, "PERMISSION_DENIED", message)

    def _effective(self, principal: str, kind: str, name: str) -> set[str]:
        if principal in self.admins:
            return {"ALL_PRIVILEGES", "CREATE_SCHEMA", "CREATE_VOLUME", "MANAGE"}
        parts = name.split(".")
        above = [(level, ".".join(parts[: depth + 1])) for depth, level in enumerate(("catalog", "schema", "volume"))]
        return {
            privilege
            for level, full_name in above[: len(parts)]
            for privilege in self.grants.get((level, full_name), {}).get(principal, set())
        }

    def create_securable(self, kind: str, name: str) -> None:
        self.securables[kind].add(name)
        if kind == "schema":
            self.clusters.tables.joinpath(*name.split(".")).mkdir(parents=True, exist_ok=True)
        if kind == "volume":
            self.add_volume("/Volumes/" + name.replace(".", "/"))

    @route("GET", "/api/2.1/unity-catalog/schemas/([^/]+)")
    def schema_get(self, request: Request, name: str) -> Any:
        self._securable("schema", name)
        return {"full_name": name}

    @route("POST", "/api/2.1/unity-catalog/schemas")
    def schema_create(self, request: Request) -> Any:
        catalog, name = request.json["catalog_name"], request.json["name"]
        self._securable("catalog", catalog)
        self._needs(request, "CREATE_SCHEMA", "catalog", catalog)
        if f"{catalog}.{name}" in self.securables["schema"]:
            raise ApiError(400, "SCHEMA_ALREADY_EXISTS", f"Schema '{name}' already exists")
        self.create_securable("schema", f"{catalog}.{name}")
        return {"full_name": f"{catalog}.{name}"}

    @route("GET", "/api/2.1/unity-catalog/volumes/([^/]+)")
    def volume_get(self, request: Request, name: str) -> Any:
        self._securable("volume", name)
        return {"full_name": name}

    @route("POST", "/api/2.1/unity-catalog/volumes")
    def volume_create(self, request: Request) -> Any:
        body = request.json
        schema = f"{body['catalog_name']}.{body['schema_name']}"
        self._securable("schema", schema)
        self._needs(request, "CREATE_VOLUME", "schema", schema)
        self.create_securable("volume", f"{schema}.{body['name']}")
        return {"full_name": f"{schema}.{body['name']}"}

    @route("PATCH", "/api/2.1/unity-catalog/permissions/([a-z]+)/([^/]+)")
    def grants_change(self, request: Request, kind: str, name: str) -> Any:
        self._securable(kind, name)
        self._needs(request, "MANAGE", kind, name)
        for change in request.json["changes"]:
            privileges = self.grants.setdefault((kind, name), {}).setdefault(change["principal"], set())
            privileges |= set(change.get("add", []))
            privileges -= set(change.get("remove", []))
        return {"privilege_assignments": []}

    @route("GET", "/api/2.1/unity-catalog/effective-permissions/([a-z]+)/([^/]+)")
    def grants_effective(self, request: Request, kind: str, name: str) -> Any:
        self._securable(kind, name)
        everyone = {principal for granted in self.grants.values() for principal in granted}
        principals = {request.query["principal"]} if "principal" in request.query else everyone
        effective = {principal: self._effective(principal, kind, name) for principal in sorted(principals)}
        return {
            "privilege_assignments": [
                {"principal": principal, "privileges": [{"privilege": privilege} for privilege in sorted(privileges)]}
                for principal, privileges in effective.items()
                if privileges
            ]
        }

    # secrets

    @route("GET", "/api/2.0/secrets/scopes/list")
    def scopes_list(self, request: Request) -> Any:
        return {"scopes": [{"name": scope, "backend_type": "DATABRICKS"} for scope in self.secrets]}

    @route("POST", "/api/2.0/secrets/scopes/create")
    def scopes_create(self, request: Request) -> Any:
        self.secrets[request.json["scope"]] = {}

    @route("GET", "/api/2.0/secrets/acls/list")
    def acls_list(self, request: Request) -> Any:
        acls = self.secret_acls.get(request.query["scope"], {})
        return {"items": [{"principal": name, "permission": level} for name, level in acls.items()]}

    @route("POST", "/api/2.0/secrets/acls/put")
    def acls_put(self, request: Request) -> Any:
        body = request.json
        self.secret_acls.setdefault(body["scope"], {})[body["principal"]] = body["permission"]

    @route("GET", "/api/2.0/secrets/list")
    def secrets_list(self, request: Request) -> Any:
        if request.query["scope"] not in self.secrets:
            raise not_found(f"Scope {request.query['scope']} does not exist!")
        return {"secrets": [{"key": key} for key in self.secrets[request.query["scope"]]]}

    @route("GET", "/api/2.0/secrets/get")
    def secrets_get(self, request: Request) -> Any:
        scope, key = request.query["scope"], request.query["key"]
        if key not in self.secrets.get(scope, {}):
            raise not_found(f"Secret does not exist with scope: {scope} and key: {key}")
        return {"key": key, "value": base64.b64encode(self.secrets[scope][key].encode()).decode()}

    # what modules of their own answer; None: not theirs

    def _feature_store(self, request: Request) -> Answer | None:
        for method, pattern, handler in self.feature_store.routes():
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                return Answer.of(handler(Call(request.query, request.json), *match.groups()))
        return None

    def _mlflow(self, request: Request) -> Answer | None:
        registry = REGISTRY.fullmatch(request.path)
        if registry:
            call = f"{request.method} {registry[1]}{registry[2]}"
            sent = {**request.query, **request.json}
            return Answer.of(self.models.answer(call, sent, request.headers, request.principal))
        if not TRACKING.match(request.path):
            return None
        answer = Answer.of({})
        answer.status, answer.body = self.tracking.answer(request.method, request.path, request.query, request.body)
        answer.headers["x-databricks-org-id"] = WORKSPACE_ID
        return answer

    # the server

    def answer(self, request: Request) -> Answer:
        try:
            if not request.path.startswith("/oidc/"):
                scheme, _, token = request.headers.get("authorization", "").partition(" ")
                if scheme != "Bearer" or token not in self.tokens:
                    raise ApiError(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type")
                request.principal = self.tokens[token]
            for method, pattern, handler in self._mounted:
                match = pattern.match(request.path)
                if match and method == request.method:
                    return Answer.of(handler(request, *match.groups()) or {})
            for method, pattern, name in ROUTES:
                match = pattern.match(request.path)
                if match and method == request.method:
                    with self._lock:
                        value = getattr(self, name)(request, *match.groups())
                    return value if isinstance(value, Answer) else Answer.of(value or {})
            for module in (self._feature_store, self._mlflow):
                with self._lock:
                    answered = module(request)
                if answered is not None:
                    return answered
            raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for {request.method} {request.path}")
        except (ApiError, MlflowError, Refused) as error:
            oauth = {"error": error.code, "error_description": error.message}  # RFC 6749, 5.2
            api = {"error_code": error.code, "message": error.message}
            refusal = Answer.of(oauth if request.path.startswith("/oidc/") else api)
            refusal.status = error.status
            return refusal

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        workspace = self

        class Loopback(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _serve(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                headers = {key.lower(): value for key, value in self.headers.items()}
                request = Request(self.command, url.path, query, body, headers)
                workspace.journal.append(request)
                fault = workspace.faults.take(self.command, self.path)
                if fault and fault.action == "slow":
                    time.sleep(fault.seconds)
                if fault and fault.action == "status":
                    answer = Answer.of({"error_code": fault.error_code, "message": fault.message})
                    answer.status = fault.status
                    if fault.retry_after is not None:
                        answer.headers["Retry-After"] = str(fault.retry_after)
                elif fault and fault.action == "instead":
                    answer = Answer(fault.body, headers={"Content-Type": fault.content_type})
                else:
                    answer = workspace.answer(request)
                if fault and fault.action == "drop":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if fault and fault.action == "cut":
                    self.close_connection = True
                    self.wfile.write(answer.body[: len(answer.body) // 2])
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif self.command != "HEAD":
                    self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Loopback
