"""One or several server processes on one port, stopped without losing what they accepted."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import uvicorn

from service.operations import logs
from service.operations.memory import settle
from service.operations.metrics import SHARED
from service.settings import Settings, load

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

STOP_SECONDS: Final = 30
"""How long a stopping process may take to answer what it accepted."""
_PROCESSES: Final = "_LILIN_PROCESSES"
"""How one process tells the processes that it starts how many they are."""


def serve(settings: Settings, host: str, port: int, processes: int) -> None:
    """Serve until SIGTERM or Ctrl-C; accepted requests are answered first.

    Each process holds a model of its own and an equal share of the cores.
    """
    with ExitStack() as stack:
        if processes > 1:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lilin-metrics-"))
            os.environ[SHARED] = folder
        os.environ[_PROCESSES] = str(processes)
        uvicorn.run(
            "service.operations.serving:app",
            factory=True,
            host=host,
            port=port,
            workers=processes,
            access_log=False,
            log_config=None,
            log_level=settings.log_level,
            proxy_headers=False,  # the app does it, by the setting `trusted_proxies`
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=STOP_SECONDS,
        )


def app() -> FastAPI:
    """Return the app of one server process."""
    from models.scorer import Scorer

    settings = load()
    logs.setup(settings.log_level)
    processes = int(os.environ.get(_PROCESSES, "1"))
    if settings.threads is None and processes > 1:
        share = max(1, (os.cpu_count() or 1) // processes)
        settings = settings.model_copy(update={"threads": share})
    # The model is read and checked by C code: meanwhile Python reads the rest of the service.
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(Scorer.load, settings.model, threads=settings.threads)
        from service.app import create_app

        scorer = loading.result()
    made = create_app(settings, scorer=scorer)
    settle()
    return made


@contextmanager
def told_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` on the event loop when the process is told to stop.

    uvicorn waits for the answers under way before it tells the app, and an answer that has no end
    of its own would be waited for in vain. Its own handling of the signals goes on as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Callable[[int, FrameType | None], object]] = {}
    for known in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(known)
        if callable(handler):  # else the signal ends the process, or means nothing
            before[known] = handler

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        before[number](number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
