"""Routes on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from athlete_assets_tests.fake_feature_store.endpoints import Call, Refused, Route


@contextmanager
def served(routes: Iterable[Route]) -> Iterator[str]:
    """Serves the routes; gives the host's URL."""
    mounted = list(routes)

    class Loopback(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            url = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            status, body = 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": f"{self.command} {url.path}"}
            for method, pattern, handler in mounted:
                match = pattern.fullmatch(url.path)
                if match and method == self.command:
                    try:
                        status, body = 200, handler(Call(query, json.loads(text) if text else {}), *match.groups())
                    except Refused as refusal:
                        status, body = refusal.status, refusal.body
                    break
            answer = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Loopback)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
