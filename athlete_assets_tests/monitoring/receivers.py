"""Local servers that receive alerts: HTTP for webhooks and Slack, SMTP for mail."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Received:
    """What an HTTP receiver got, oldest first. `status` is what it answers."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.messages: list[dict[str, Any]] = []


@contextmanager
def http_receiver() -> Iterator[Received]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if received.status == 200:
                is_json = "json" in self.headers["Content-Type"]
                message = json.loads(body) if is_json else {name: texts[0] for name, texts in parse_qs(body).items()}
                received.messages.append({**message, "_path": self.path, "_auth": self.headers["Authorization"]})
            self.send_response(received.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"ok": true}')

        def log_message(self, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield received
        server.shutdown()


@contextmanager
def mail_receiver() -> Iterator[tuple[str, list[str]]]:
    """A mail server without STARTTLS: its address and the mails that it got."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                command = line.strip().upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (text := self.rfile.readline()) != b".\r\n":
                        lines.append(text.decode())
                    mails.append("".join(lines))
                elif command == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", mails
        server.shutdown()
