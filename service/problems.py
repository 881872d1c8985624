"""Errors as problem JSON (RFC 9457): one shape for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import DeskError

MEDIA_TYPE: Final = "application/problem+json"
_log = structlog.get_logger("lilin")


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> JSONResponse:
    """Return a problem document.

    ``code`` names the kind of error for programs, ``errors`` says field by field what is wrong.
    """
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    }
    if code:
        body["code"] = code
    if errors:
        body["errors"] = list(errors)
    return JSONResponse(body, int(status), dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    async def desk_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DeskError)
        headers: dict[str, str] = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return problem(HTTPStatus(error.status), str(error), code=error.code, headers=headers)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"field": ".".join(str(p) for p in e["loc"]), "message": str(e["msg"])}
            for e in error.errors()
        ]
        first = errors[0]
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{first['field']}: {first['message']}", errors=errors
        )

    async def http_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        return problem(status, str(error.detail), headers=error.headers)

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        # The message may hold what was sent: only the kind of the error is logged.
        _log.error("unforeseen error", path=request.url.path, kind=type(error).__name__)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; it has been logged"
        )

    app.add_exception_handler(DeskError, desk_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unforeseen)
