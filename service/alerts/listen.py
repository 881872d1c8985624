"""A receiver for trying out webhooks: says each alert in plain words, checks signature and repeats.

It listens on this machine alone and keeps nothing.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

from service.alerts import signature
from service.alerts.message import Message, one_line, plain, short

HOST: Final = "127.0.0.1"
MAX_BODY: Final = 4 * 1024 * 1024
_KEY_CHARS: Final = 64
_KINDS: Final = {"alert": "Peringatan", "digest": "Ringkasan", "test": "Pesan uji"}


class Listener:
    """Receives messages in a thread while its context is open."""

    def __init__(
        self, port: int, *, secret: str | None = None, say: Callable[[str], object] = print
    ) -> None:
        """``port`` 0 takes any free one; without a ``secret`` signatures are not checked.

        Raises:
            OSError: the port is taken.
        """
        self.received: list[dict[str, Any]] = []
        """The payloads that were accepted, each once."""
        self._secret = secret
        self._say = say
        self._keys: set[str] = set()
        self._news = threading.Condition()
        self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="listen"
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._server.server_port}/"

    def wait(self, count: int | None, timeout_s: float | None) -> bool:
        """Wait for so many different messages (None: for ever); return whether they came."""
        with self._news:
            return self._news.wait_for(
                lambda: count is not None and len(self.received) >= count, timeout_s
            )

    def take(self, body: bytes, key: str, signed: str) -> int:
        """Take a message and return the status of the answer."""
        if self._secret is not None and not signature.holds(
            signed, body, self._secret, now_s=time.time()
        ):
            self._say("Tanda tangan TIDAK cocok; pesan ditolak.")
            return 401
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            self._say("Isi pesan tidak terbaca; pesan ditolak.")
            return 400
        key = short(one_line(key), _KEY_CHARS)
        with self._news:
            if key and key in self._keys:
                self._say(f"Ulangan pesan {key}; sudah diterima, tidak dihitung lagi.")
                return 200
            self._keys.add(key)
            self._say("\n".join(self._lines(payload, key)))
            self.received.append(payload)
            self._news.notify_all()
        return 200

    def _lines(self, payload: dict[str, Any], key: str) -> list[str]:
        kind = _KINDS.get(str(payload.get("kind")), "Pesan")
        checked = "tidak diperiksa" if self._secret is None else "cocok"
        head = f"{kind} {key or 'tanpa nomor'}, tanda tangan {checked}"
        return [f"=== {head} ===", *plain(Message.of(payload)), ""]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(listener: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not re.fullmatch(r"[0-9]{1,8}", length) or int(length) > MAX_BODY:
                self._answer(413)
                return
            body = self.rfile.read(int(length))
            key = self.headers.get("Idempotency-Key", "")
            self._answer(listener.take(body, key, self.headers.get(signature.HEADER, "")))

        def do_GET(self) -> None:
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing: what matters is said by the listener."""

    return Handler
