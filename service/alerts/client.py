"""Sends one request to a checked target, and bounds everything the other side can draw out.

The standard library's HTTP client on a connection of our own: to an address that was judged, with
the certificate checked against the host's name. Redirects are not followed, proxies not used. The
whole exchange ends by a deadline, whatever trickles in meanwhile.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Final, Self

from service.alerts.targets import Target

CONNECT_S: Final = 5.0
"""For each of a host's addresses."""
TOTAL_S: Final = 15.0
"""For connection, request and answer together."""
MAX_ANSWER: Final = 64 * 1024
_ADDRESSES: Final = 4
"""So many of a host's addresses are tried at most."""


class Unreached(Exception):
    """There is no answer; ``code`` says why, in no words of the other side's (internal).

    timeout, refused, unreachable, certificate, tls, garbage, broken.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the body's beginning, as far as it came before the deadline."""

    status: int
    retry_after: str | None
    body: bytes


def post(
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
    *,
    connect_s: float = CONNECT_S,
    total_s: float = TOTAL_S,
) -> Answer:
    """Post a body and return the answer, whatever its status.

    Raises:
        Unreached: no status came.
    """
    end = time.monotonic() + total_s
    with Deadline(total_s) as deadline:
        try:
            with _connect(target, min(connect_s, total_s), end) as plain:
                deadline.watch(plain)
                plain.settimeout(total_s)
                if target.scheme == "http":
                    return _exchange(plain, target, body, headers, deadline)
                with _secured(plain, target.host) as secured:
                    deadline.watch(secured)  # the plain socket is an empty shell now
                    secured.do_handshake()
                    return _exchange(secured, target, body, headers, deadline)
        except Unreached:
            raise
        except (OSError, HTTPException, ValueError) as error:
            raise Unreached(deadline.said_of(error)) from None


def _exchange(
    connected: socket.socket,
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
    deadline: Deadline,
) -> Answer:
    connection = HTTPConnection(target.host, target.port)
    connection.sock = connected
    headers = {"Host": target.authority, "Connection": "close", **headers}
    connection.request("POST", target.path, body, headers)
    with connection.getresponse() as response:
        if deadline.over:  # it cut the headers short, which looks like their end
            raise Unreached("timeout")
        return Answer(
            status=response.status,
            retry_after=response.getheader("Retry-After"),
            body=_beginning(response.read),
        )


def _connect(target: Target, connect_s: float, end: float) -> socket.socket:
    code = "unreachable"
    for address in target.addresses[:_ADDRESSES]:
        left = end - time.monotonic()
        if left <= 0:
            raise Unreached("timeout")
        try:
            return socket.create_connection((address, target.port), min(connect_s, left))
        except OSError as error:
            code = said_of(error)
    raise Unreached("unreachable" if code == "broken" else code)


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return trust().wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)


@cache
def trust() -> ssl.SSLContext:
    """Return the system's trusted authorities, or those of ``SSL_CERT_FILE``."""
    return ssl.create_default_context()


def _beginning(read: Callable[[int], bytes]) -> bytes:
    """Return what can be read of a body; the status, which came before, says what counts."""
    try:
        return read(MAX_ANSWER)
    except (OSError, HTTPException, ValueError):
        return b""


def said_of(error: Exception) -> str:
    """Return the code of what went wrong on a connection."""
    match error:
        case TimeoutError():
            return "timeout"
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError():
            return "tls"
        case ConnectionRefusedError():
            return "refused"
        case HTTPException() | ValueError():
            return "garbage"
        case _:
            return "broken"


class Deadline:
    """Cuts a connection when its time is up: a timeout of the socket alone begins anew each byte."""

    def __init__(self, seconds: float) -> None:
        self._socket: socket.socket | None = None
        self.over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, held: socket.socket | None) -> None:
        """Watch over this socket from now on."""
        with self._lock:
            self._socket = held
            if self.over:
                self._shut()

    def said_of(self, error: Exception) -> str:
        """Return the code of what went wrong, which is the deadline's doing where it has passed."""
        return "timeout" if self.over else said_of(error)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it may be closed already
                # Not SSLSocket's own, which takes its state away under the reader's hands.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
