"""A schema registry on loopback: registers schemas, finds them by id, and answers otherwise on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NOT_FOUND = 404, {"error_code": 40403, "message": "Schema not found"}


class RegistryServer(ThreadingHTTPServer):
    """Real HTTP; `answers` by path take precedence, `asked` is what came in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        self.authorization: str | None = None
        self.subjects: dict[str, int] = {}
        self.schemas: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def register(self, subject: str, schema: str) -> int:
        """The id of a schema, counted from 1; the same schema has one id."""
        if schema not in self.schemas:
            self.schemas.append(schema)
        self.subjects[subject] = self.schemas.index(schema) + 1
        return self.subjects[subject]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and document for a path, with the body of a POST."""
        if path in self.answers:
            return self.answers[path]
        match path.strip("/").split("/"):
            case ["schemas", "ids", number] if 0 < int(number) <= len(self.schemas):
                return 200, {"schema": self.schemas[int(number) - 1]}
            case ["subjects", subject, "versions"] if body:
                return 200, {"id": self.register(subject, body["schema"])}
        return NOT_FOUND


class _Handler(BaseHTTPRequestHandler):
    server: RegistryServer

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, sent: dict[str, Any]) -> None:
        path = self.path.split("?")[0]
        self.server.asked.append(path)
        self.server.authorization = self.headers["Authorization"]
        status, document = self.server.answer(path, sent)
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def registry_server() -> Iterator[RegistryServer]:
    """A registry while the block lasts."""
    with RegistryServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
