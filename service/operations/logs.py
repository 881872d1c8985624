"""Logs: one line per event on stderr, as JSON for programs and readable before a person.

An event is named by what happened ("request answered"), its fields by what they are. No post's
text, query string, key, cookie or password is ever logged; of an exception only its kind and the
places in the code, for its message may quote what was sent.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.settings import Settings, load, typing_errors

_OURS: Final = ("lilin", "uvicorn")
"""Loggers that are heard at the level set; those of libraries, which may log more than they
should, from a warning on."""


def start() -> Settings:
    """Return the settings of a process that stays; its log is set up, its warnings are given.

    Raises:
        BadSettings: a value will not do.
    """
    settings = load()
    setup(settings.log_level)
    mistyped = typing_errors(os.environ)
    if mistyped:
        structlog.get_logger("lilin").warning(mistyped)
    return settings


def setup(level: str = "info", stream: TextIO | None = None) -> None:
    """Send every log of this process, libraries included, to ``stream`` (default: stderr)."""
    target = stream or sys.stderr
    weight = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _only_places,
    ]
    shape: Processor = (
        structlog.dev.ConsoleRenderer()
        if target.isatty()
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, shape],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(weight, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(weight)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(weight),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _only_places(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its kind and the places it passed; its message may quote a post."""
    error = event.pop("exc_info", None)
    record = event.get("_record")
    if error is None and isinstance(record, logging.LogRecord):
        error = record.exc_info
        record.exc_info = record.exc_text = None
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["kind"] = type(error).__name__
        event["places"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-12:]
        ]
    return event
