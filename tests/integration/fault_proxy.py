"""A proxy before an S3 endpoint that answers some requests as a bad day does: errors, resets, cut bodies, stalls."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "503 SlowDown", "reset in the body", "truncated body", "wrong length", "stall")
STALL_SECONDS = 30
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class FaultProxy(ThreadingHTTPServer):
    """Forwards to `upstream`; a share `rate` of the requests that read meets a fault, each kind in turn."""

    daemon_threads = True

    def __init__(self, upstream: str, rate: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.num_requests = 0
        self.injected: Counter[str] = Counter()
        self._rate, self._random, self._lock = rate, random.Random(seed), threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def draw(self) -> str | None:
        """The fault of the next request, if any."""
        with self._lock:
            self.num_requests += 1
            if self._random.random() >= self._rate:
                return None
            fault = FAULTS[self.injected.total() % len(FAULTS)]
            self.injected[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    server: FaultProxy  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._forward(self.server.draw())

    def do_HEAD(self) -> None:
        self._forward(None)

    def do_PUT(self) -> None:
        self._forward(None)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the console."""

    def _forward(self, fault: str | None) -> None:
        if fault in ("500", "503 SlowDown"):
            self._answer(int(fault[:3]), [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.upstream.netloc, timeout=60)
        connection.request(self.command, self.path, request or None, dict(self.headers))
        response = connection.getresponse()
        body, headers = response.read(), response.getheaders()
        connection.close()
        if fault is None or not body:
            self._answer(response.status, headers, body)
        elif fault == "wrong length":
            self._answer(response.status, headers, body[: len(body) // 2])
        else:
            self._break_off(response.status, headers, body, fault)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), "0")
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _break_off(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: str) -> None:
        """Promise the whole body and send half of it."""
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if fault == "stall":
            time.sleep(STALL_SECONDS)
        if fault == "reset in the body":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


@contextmanager
def fault_proxy(upstream: str, rate: float, seed: int = 0) -> Iterator[FaultProxy]:
    """Run a proxy in threads of this process."""
    proxy = FaultProxy(upstream, rate, seed)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
