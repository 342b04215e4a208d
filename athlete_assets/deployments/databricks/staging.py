"""What a step needs on the cluster and where it is put: a folder on a Unity Catalog volume, or on DBFS.

Everything staged is JSON, text or the package's own source: nothing is unpickled on either side, so that whoever may
write to the staging folder still cannot run code in the orchestrator.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from athlete_assets.errors import SettingsError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

ZIP_TIME = (2020, 1, 1, 0, 0, 0)
"""One time for all files of a package, so that equal content gives equal bytes."""
DBFS_BLOCK = 2**20
"""Bytes; the DBFS API takes and gives no more at once."""


@dataclass(frozen=True)
class PackagedCode:
    """Source packages as one zip; `digest` is the SHA-256 of its bytes, the same for the same content."""

    content: bytes
    digest: str

    @classmethod
    def of(cls, packages: Mapping[str, Path]) -> PackagedCode:
        """Packs the named packages, each a folder under its root, and nothing else that lies there.

        Hidden files, byte code and caches stay out. Raises SettingsError where a package is not there or holds no
        code: a step would otherwise start and fail on the cluster with an import error.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for package, root in sorted(packages.items()):
                files = _package_files(root / package)
                if not files:
                    raise SettingsError(
                        f"{root / package} holds no Python code: the folder given for the code must be the one that "
                        f"contains the package {package}"
                    )
                for file in files:
                    entry = zipfile.ZipInfo(file.relative_to(root).as_posix(), ZIP_TIME)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, file.read_bytes())
        content = buffer.getvalue()
        return cls(content, hashlib.sha256(content).hexdigest())


def _package_files(package: Path) -> list[Path]:
    if not (package / "__init__.py").is_file():
        return []
    return [
        file
        for file in sorted(package.rglob("*"))
        if file.is_file()
        and not file.is_symlink()
        and file.suffix not in (".pyc", ".pyo")
        and not any(part.startswith(".") or part == "__pycache__" for part in file.relative_to(package).parts)
    ]


@dataclass(frozen=True)
class Staged:
    """A file or folder in the staging folder; `modified` in seconds since the epoch, 0 where that is not known."""

    name: str
    is_folder: bool
    modified: float


class Staging(ABC):
    """A folder that the orchestrator reaches by API and the cluster as files. Paths are relative to it."""

    def __init__(self, client: WorkspaceClient, prefix: str) -> None:
        self.client = client
        self.prefix = prefix.rstrip("/")

    def at(self, path: str) -> str:
        """The path in the API's terms."""
        return f"{self.prefix}/{path}" if path else self.prefix

    @abstractmethod
    def on_cluster(self, path: str) -> str:
        """The path in the terms of the cluster's file system."""

    @abstractmethod
    def uri(self, path: str) -> str:
        """The path in the terms of a task's `python_file`."""

    @abstractmethod
    def make_folder(self, path: str) -> None: ...

    @abstractmethod
    def put(self, path: str, content: bytes) -> None:
        """Writes a file, in place of an earlier one; its folder must exist."""

    @abstractmethod
    def get(self, path: str) -> bytes | None:
        """A file's content; None where there is no such file (yet)."""

    @abstractmethod
    def entries(self, path: str) -> list[Staged]:
        """What lies in a folder; nothing where there is no such folder."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file or a folder with all that is in it; nothing happens where there is none."""


class VolumeStaging(Staging):
    """On a volume, through the Files API: the only way in workspaces without a DBFS root, and the one with rights."""

    def on_cluster(self, path: str) -> str:
        return self.at(path)

    def uri(self, path: str) -> str:
        return f"dbfs:{self.at(path)}"

    def make_folder(self, path: str) -> None:
        self.client.files.create_directory(self.at(path))

    def put(self, path: str, content: bytes) -> None:
        self.client.files.upload(self.at(path), io.BytesIO(content), overwrite=True)

    def get(self, path: str) -> bytes | None:
        from databricks.sdk.errors import NotFound

        try:
            answer = self.client.files.download(self.at(path))
        except NotFound:
            return None
        assert answer.contents is not None
        with answer.contents as contents:
            return contents.read()

    def entries(self, path: str) -> list[Staged]:
        from databricks.sdk.errors import NotFound

        try:
            found = list(self.client.files.list_directory_contents(self.at(path)))
        except NotFound:
            return []
        return [Staged(one.name or "", bool(one.is_directory), (one.last_modified or 0) / 1000) for one in found]

    def remove(self, path: str) -> None:
        from databricks.sdk.errors import NotFound

        try:
            entries = list(self.client.files.list_directory_contents(self.at(path)))
        except NotFound:
            try:
                self.client.files.delete(self.at(path))
            except NotFound:
                return
            return
        for entry in entries:
            if entry.is_directory:
                self.remove(f"{path}/{entry.name}")
            else:
                self.client.files.delete(self.at(f"{path}/{entry.name}"))
        self.client.files.delete_directory(self.at(path))


class DbfsStaging(Staging):
    """On the DBFS root, readable by everyone in the workspace: for workspaces without Unity Catalog volumes only."""

    def on_cluster(self, path: str) -> str:
        return f"/dbfs{self.at(path)}"

    def uri(self, path: str) -> str:
        return f"dbfs:{self.at(path)}"

    def make_folder(self, path: str) -> None:
        self.client.dbfs.mkdirs(self.at(path))

    def put(self, path: str, content: bytes) -> None:
        handle = self.client.api_client.do(
            "POST", "/api/2.0/dbfs/create", body={"path": self.at(path), "overwrite": True}
        )["handle"]  # type: ignore[call-overload,index]
        for start in range(0, len(content), DBFS_BLOCK):
            block = base64.b64encode(content[start : start + DBFS_BLOCK]).decode()
            self.client.dbfs.add_block(handle, block)
        self.client.dbfs.close(handle)

    def get(self, path: str) -> bytes | None:
        from databricks.sdk.errors import NotFound

        content = b""
        while True:
            try:
                answer = self.client.api_client.do(
                    "GET",
                    "/api/2.0/dbfs/read",
                    query={"path": self.at(path), "offset": len(content), "length": DBFS_BLOCK},
                )
            except NotFound:
                return None
            block = base64.b64decode(answer["data"])  # type: ignore[call-overload,index]
            content += block
            if len(block) < DBFS_BLOCK:
                return content

    def entries(self, path: str) -> list[Staged]:
        from databricks.sdk.errors import NotFound

        try:
            found = list(self.client.dbfs.list(self.at(path)))
        except NotFound:
            return []
        return [
            Staged((one.path or "").rsplit("/", 1)[-1], bool(one.is_dir), (one.modification_time or 0) / 1000)
            for one in found
        ]

    def remove(self, path: str) -> None:
        self.client.api_client.do("POST", "/api/2.0/dbfs/delete", body={"path": self.at(path), "recursive": True})


def staging_at(client: WorkspaceClient, prefix: str) -> Staging:
    """Staging on a volume where the prefix says `/Volumes/<catalog>/<schema>/<volume>/…`, else on DBFS."""
    if not prefix.startswith("/Volumes/"):
        return DbfsStaging(client, prefix)
    if len(prefix.strip("/").split("/")) < 4:
        raise SettingsError(f"staging folder {prefix}: a volume is /Volumes/<catalog>/<schema>/<volume>")
    return VolumeStaging(client, prefix)
