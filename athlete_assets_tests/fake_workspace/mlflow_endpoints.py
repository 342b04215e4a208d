"""MLflow as a workspace serves it: tracking, and the registry of models in Unity Catalog.

Tracking is mlflow's own server over SQLite, run in this process. What the workspace adds to it: experiments are
absolute paths of the workspace, artifacts lie below `dbfs:/databricks/mlflow-tracking` and are moved by the Files API
below /WorkspaceInternal (mlflow 3.17: store/artifact/databricks_run_artifact_repo.py and
databricks_logged_model_artifact_repo.py), and each answer names the workspace.

The registry answers what mlflow/store/_unity_catalog/registry/rest_store.py asks: three-level names in a schema that
exists, versions that are PENDING_REGISTRATION until their files are there and finalised, aliases instead of stages.
A version's files go through the Files API below /Models (databricks_sdk_models_artifact_repo.py), writable until it is
READY. Tags have Unity Catalog's limits (docs: database-objects/tags): 20 of them, values of 1,000 characters.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

WORKSPACE_ID = "1"
TRACKING = re.compile(r"/api/[234]\.0/mlflow/(?!unity-catalog)")
REGISTRY = re.compile(r"/api/2\.0/mlflow/unity-catalog/(registered-models|model-versions)([:/][a-z-]+)")
MANAGED = ("Models", "WorkspaceInternal")
"""Tops of the Files API that hold mlflow's files; folders in them come into being with their files."""
ARTIFACT_ROOT = "dbfs:/databricks/mlflow-tracking"
FORBIDDEN_IN_TAG_KEYS = re.compile(r"[.,\-=/:]")
MOST_TAGS, LONGEST_TAG_VALUE = 20, 1_000
LINEAGE_HEADER = "x-databricks-lineage-identifier"


class MlflowError(Exception):
    """An answer other than 200, in the shape that the real API gives it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def invalid(message: str) -> MlflowError:
    return MlflowError(400, "INVALID_PARAMETER_VALUE", message)


class Tracking:
    """mlflow's own server, asked without a socket; its database is a file in the workspace's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._starting = threading.Lock()

    @cached_property
    def _app(self) -> Any:
        from mlflow.server import app, handlers
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        handlers._tracking_store = SqlAlchemyStore(f"sqlite:///{self.root}/mlflow.db", ARTIFACT_ROOT)
        return app

    def stop(self) -> None:
        if "_app" in self.__dict__:
            from mlflow.server import handlers

            handlers._tracking_store = None

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """The status and the JSON of mlflow's answer."""
        if path.endswith("/mlflow/experiments/create") and not json.loads(body)["name"].startswith("/"):
            # what a workspace says to `mlflow.set_experiment("name")`
            raise invalid(
                f"Got an invalid experiment name '{json.loads(body)['name']}'. An experiment name must be an absolute "
                "path within the Databricks workspace, e.g. '/Users/<some-username>/my-experiment'."
            )
        with self._starting:
            app = self._app
        answer = app.test_client().open(
            path, method=method, query_string=query, data=body, content_type="application/json"
        )
        # a workspace keeps logged models in a folder of another name than mlflow's own server does
        text = re.sub(rb"(mlflow-tracking/[^/\"]+)/models/", rb"\1/logged_models/", answer.data)
        return answer.status_code, text


@dataclass
class Version:
    """A version of a registered model, with everything that was sent about it."""

    number: int
    sent: dict[str, Any]
    lineage: dict[str, Any]
    user: str
    created: int = field(default_factory=lambda: int(time.time() * 1000))
    status: str = "PENDING_REGISTRATION"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Model:
    name: str
    versions: list[Version] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)


class ModelRegistry:
    """Models in Unity Catalog; `schemas` holds those that exist, `read_lineage` what readers said of themselves."""

    def __init__(self, root: Path, schemas: set[str]) -> None:
        self.root, self.schemas = root, schemas
        self.models: dict[str, Model] = {}
        self.read_lineage: list[dict[str, Any]] = []

    def answer(self, call: str, sent: dict[str, Any], headers: dict[str, str], user: str) -> dict[str, Any]:
        """`call` is the method and the end of the path, such as `POST model-versions/create`."""
        if call == "POST model-versions/create":
            return self._create_version(sent, headers, user)
        handler = {
            "POST registered-models/create": self._create_model,
            "GET registered-models/get": self._get_model,
            "POST registered-models/alias": self._set_alias,
            "GET registered-models/alias": self._by_alias,
            "POST model-versions/finalize": self._finalize,
            "GET model-versions/get": self._get_version,
            "GET model-versions/search": self._search,
            "POST model-versions/set-tag": self._tag,
            "PATCH model-versions/update": self._describe,
            "POST model-versions/emit-lineage": self.read_lineage.append,
            "GET registered-models:is-databricks-sdk-models-artifact-repository-enabled": self._files_by_sdk,
        }.get(call)
        if handler is None:
            raise MlflowError(404, "ENDPOINT_NOT_FOUND", f"No API found for {call}")
        return handler(sent) or {}

    def folder(self, name: str, version: int) -> Path:
        return self.root.joinpath("Models", *name.split("."), str(version))

    def refuse_write(self, parts: list[str]) -> None:
        """Raises for a file of a version that is there for good: /Models/<catalog>/<schema>/<model>/<version>/..."""
        model = self.models.get(".".join(parts[1:4]))
        number = int(parts[4]) if len(parts) > 4 and parts[4].isdigit() else 0
        if model is None or not 0 < number <= len(model.versions):
            raise MlflowError(404, "NOT_FOUND", f"The path /{'/'.join(parts)} belongs to no model version.")
        if model.versions[number - 1].status != "PENDING_REGISTRATION":
            raise MlflowError(403, "PERMISSION_DENIED", f"Model version {number} of {model.name} cannot be changed.")

    def _model(self, sent: dict[str, Any]) -> Model:
        if sent["name"] not in self.models:
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", f"Routine or Model '{sent['name']}' does not exist.")
        return self.models[sent["name"]]

    def _version(self, sent: dict[str, Any]) -> tuple[Model, Version]:
        model = self._model(sent)
        if not str(sent["version"]).isdigit() or not 0 < int(sent["version"]) <= len(model.versions):
            raise MlflowError(
                404, "RESOURCE_DOES_NOT_EXIST", f"Model version {sent['version']} of {model.name} does not exist."
            )
        return model, model.versions[int(sent["version"]) - 1]

    def _create_model(self, sent: dict[str, Any]) -> dict[str, Any]:
        name = sent["name"]
        if len(name.split(".")) != 3 or not all(name.split(".")):
            raise invalid(f"Model name '{name}' is invalid: specify all three levels (catalog.schema.model).")
        if name.rpartition(".")[0] not in self.schemas:
            missing = f"SCHEMA_DOES_NOT_EXIST: Schema '{name.rpartition('.')[0]}' does not exist"
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", missing)
        if name in self.models:
            raise MlflowError(400, "RESOURCE_ALREADY_EXISTS", f"Routine or Model '{name}' already exists")
        self.models[name] = Model(name)
        return {"registered_model": self._shown_model(self.models[name])}

    def _create_version(self, sent: dict[str, Any], headers: dict[str, str], user: str) -> dict[str, Any]:
        model = self._model(sent)
        lineage = json.loads(base64.b64decode(headers.get(LINEAGE_HEADER, "e30=")))
        version = Version(len(model.versions) + 1, sent, lineage, user)
        model.versions.append(version)
        return {"model_version": self._shown_version(model, version)}

    def _finalize(self, sent: dict[str, Any]) -> dict[str, Any]:
        import yaml

        model, version = self._version(sent)
        described = self.folder(model.name, version.number) / "MLmodel"
        signature = (yaml.safe_load(described.read_text()) if described.is_file() else {}).get("signature") or {}
        if not (signature.get("inputs") and signature.get("outputs")):
            version.status = "FAILED_REGISTRATION"
            raise invalid("A model in Unity Catalog needs a signature with inputs and outputs.")
        version.status = "READY"
        return {"model_version": self._shown_version(model, version)}

    def _set_alias(self, sent: dict[str, Any]) -> None:
        model, version = self._version(sent)
        if version.status != "READY":
            raise invalid(f"Model version {version.number} of {model.name} is not ready.")
        model.aliases[sent["alias"]] = version.number

    def _by_alias(self, sent: dict[str, Any]) -> dict[str, Any]:
        model = self._model(sent)
        if sent["alias"] not in model.aliases:
            raise MlflowError(404, "RESOURCE_DOES_NOT_EXIST", f"Alias '{sent['alias']}' does not exist.")
        return {"model_version": self._shown_version(model, model.versions[model.aliases[sent["alias"]] - 1])}

    def _get_model(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {"registered_model": self._shown_model(self._model(sent))}

    def _get_version(self, sent: dict[str, Any]) -> dict[str, Any]:
        return {"model_version": self._shown_version(*self._version(sent))}

    def _files_by_sdk(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Whether files travel by the Files API; else the client asks for the cloud's own credentials."""
        return {"is_databricks_sdk_models_artifact_repository_enabled": True}

    def _search(self, sent: dict[str, Any]) -> dict[str, Any]:
        named = re.fullmatch(r"\s*name\s*=\s*'([^']+)'\s*", sent.get("filter", ""))
        if named is None:
            raise invalid(f"Unsupported filter query : `{sent.get('filter', '')}`. Please specify the model's name.")
        model = self.models.get(named[1], Model(named[1]))
        # neither tags nor aliases: mlflow/entities/model_registry/model_version_search.py
        hidden = ("tags", "aliases")
        shown = [self._shown_version(model, version) for version in model.versions]
        return {"model_versions": [{key: one[key] for key in one if key not in hidden} for one in shown]}

    def _describe(self, sent: dict[str, Any]) -> dict[str, Any]:
        model, version = self._version(sent)
        version.sent["description"] = sent["description"]
        return {"model_version": self._shown_version(model, version)}

    def _tag(self, sent: dict[str, Any]) -> None:
        _, version = self._version(sent)
        if FORBIDDEN_IN_TAG_KEYS.search(sent["key"]):
            raise invalid(f"Tag key {sent['key']} holds a character that tag keys cannot have")
        if len(sent.get("value", "")) > LONGEST_TAG_VALUE:
            raise invalid(f"Tag value of {sent['key']} is longer than {LONGEST_TAG_VALUE} characters")
        if len({*version.tags, sent["key"]}) > MOST_TAGS:
            raise invalid(f"A securable can have at most {MOST_TAGS} tags")
        version.tags[sent["key"]] = sent.get("value", "")

    def _shown_model(self, model: Model) -> dict[str, Any]:
        aliases = [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()]
        return {"name": model.name, "aliases": aliases}

    def _shown_version(self, model: Model, version: Version) -> dict[str, Any]:
        return {
            "name": model.name,
            "version": str(version.number),
            "creation_timestamp": version.created,
            "user_id": version.user,
            "source": version.sent["source"],
            "description": version.sent.get("description", ""),
            "run_id": version.sent.get("run_id", ""),
            "status": version.status,
            "storage_location": f"uc-managed://{self.folder(model.name, version.number)}",
            "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
            "aliases": [
                {"alias": alias, "version": str(number)}
                for alias, number in model.aliases.items()
                if number == version.number
            ],
        }
