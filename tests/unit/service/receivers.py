"""Real servers for the tests of what leaves the desk: HTTP, raw bytes, SMTP."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PATIENCE_S = 60
"""A bound for a machine that has much else to do."""


@dataclass(frozen=True, kw_only=True)
class Got:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"


class Receiver:
    """An HTTP server that keeps what it got and answers as it is told."""

    def __init__(
        self,
        reply: Callable[[Got], Reply] = lambda _got: Reply(),
        *,
        port: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.got: list[Got] = []
        self.reply = reply
        self.at_once = 0
        self.most_at_once = 0
        self._change = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                names = {name.lower(): value for name, value in self.headers.items()}
                got = Got(path=self.path, headers=names, body=self.rfile.read(length))
                with receiver._inside():
                    reply = receiver.reply(got)
                    receiver.keep(got)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that hung up

        self._server = Server(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}/hook"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )

    def keep(self, got: Got) -> None:
        with self._change:
            self.got.append(got)
            self._change.notify_all()

    def wait_for(self, count: int) -> None:
        with self._change:
            assert self._change.wait_for(lambda: len(self.got) >= count, PATIENCE_S)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        with self._change:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield
        finally:
            with self._change:
                self.at_once -= 1

    @property
    def keys(self) -> list[str]:
        return [got.headers["idempotency-key"] for got in self.got]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Lines(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hung up


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve every connection with ``handle`` and give the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            handle(self.request)

    with _Lines(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class MailServer:
    """So much of an SMTP server as a client meets; refusals are answers by command."""

    def __init__(
        self, *, refuse: dict[str, str] | None = None, extensions: Sequence[str] = ()
    ) -> None:
        self.mails: list[str] = []
        self.logins: list[str] = []
        self.refuse = refuse or {}
        self.extensions = extensions
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.port = self._stack.enter_context(serving(self._talk))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rwb")

        def say(line: str) -> None:
            stream.write(f"{line}\r\n".encode())
            stream.flush()

        say("220 surat.test")
        for raw in stream:
            line = raw.decode().rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if verb in self.refuse:
                say(self.refuse[verb])
            elif verb == "EHLO":
                say("250-surat.test")
                for extension in self.extensions:
                    say(f"250-{extension}")
                say("250 8BITMIME")
            elif verb == "AUTH":
                self.logins.append(line)
                say("235 masuk")
            elif verb == "DATA":
                say("354 silakan")
                lines = []
                for data in stream:
                    if data == b".\r\n":
                        break
                    lines.append(data.decode())
                self.mails.append("".join(lines))
                say(self.refuse.get(".", "250 diterima"))
            elif verb == "QUIT":
                say("221 sampai jumpa")
                return
            else:
                say("250 baik")
