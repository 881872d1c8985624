"""What stands around every request: its id, its line in the log, its place in the metrics."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog

from service.operations.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

ID_HEADER: Final = b"x-request-id"
OTHER: Final = "other"
"""The route of a path that is none of ours: one label, whatever strangers try."""
_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_QUIET: Final = ("/healthz", "/readyz", "/metrics", "/static", "/langsung")
"""Routes whose good answers are logged at debug alone: probes, files and open streams."""
_log = structlog.get_logger("lilin")


class Watched:
    """Gives every request an id, and logs and counts its answer."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request; ``scope["state"]["problem"]`` is the code of what went wrong."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((v for name, v in scope["headers"] if name == ID_HEADER), b"")
        number = given if _SANE.fullmatch(given) else uuid.uuid4().hex.encode()
        start = time.perf_counter()
        status = 500  # what the server answers if nothing does

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (ID_HEADER, number)]
            await send(message)

        state = scope.setdefault("state", {})
        state["request_id"] = number.decode()
        with structlog.contextvars.bound_contextvars(request_id=number.decode()):
            try:
                await self.app(scope, receive, noted)
            except Exception:
                state.setdefault("problem", "unforeseen")
                raise
            finally:
                seconds = time.perf_counter() - start
                route, method = route_of(scope), scope["method"]
                self.metrics.answered(route, method, status, seconds)
                problem = state.get("problem")
                fields = {} if problem is None else {"problem": problem}
                if problem is not None:
                    self.metrics.errors.labels(problem).inc()
                tell = _log.info
                if status >= 500:
                    tell = _log.warning
                elif status < 400 and route in _QUIET:
                    tell = _log.debug
                tell(
                    "request answered",
                    method=method,
                    route=route,
                    status=status,
                    duration_ms=round(1000 * seconds, 1),
                    **fields,
                )


def route_of(scope: Message) -> str:
    """Return the template of the route that answered, ``/v1/posts/{post_id}`` for one."""
    route = scope.get("route")
    template = getattr(route, "path_format", None) or getattr(route, "path", None)
    return template if isinstance(template, str) and template else OTHER
