"""Shows the folder of pages to this machine's browser, beside the Dagster UI: a link there opens no local file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


class _Pages(SimpleHTTPRequestHandler):
    """Files below one folder, to requests for this machine by its own name: no page of another site can ask for it."""

    def do_GET(self) -> None:
        name = self.headers.get("Host", "").rpartition(":")[0]
        if name not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        super().do_GET()

    do_HEAD = do_GET

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: file names tell of athletes."""


@contextmanager
def shown(folder: Path, port: int) -> Iterator[str | None]:
    """The address at which the folder's pages can be seen until the block ends; None where the port is taken."""
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Pages, directory=str(folder)))
    except OSError:
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
