"""Errors as problem JSON (RFC 9457): one shape for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from service.errors import DeskError, MustChangePassword, NotSignedIn
from service.pages import words
from service.pages.render import go, render, sign_in_path

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

    async def desk_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, DeskError)
        request.state.problem = error.code
        if wants_page(request):
            return _error_page(request, error)
        headers: dict[str, str] = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if error.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return problem(HTTPStatus(error.status), str(error), code=error.code, headers=headers)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if wants_page(request):
            return render(request, "salah.html", status=422, message=words.ERRORS["invalid"])
        errors = [
            {"field": ".".join(str(p) for p in e["loc"]), "message": str(e["msg"])}
            for e in error.errors()
        ]
        first = errors[0]
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{first['field']}: {first['message']}", errors=errors
        )

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        if wants_page(request):
            message = words.ERRORS["not-found" if status == HTTPStatus.NOT_FOUND else "invalid"]
            return render(request, "salah.html", status=status, message=message)
        return problem(status, str(error.detail), headers=error.headers)

    async def unforeseen(request: Request, error: Exception) -> Response:
        # The message may hold what was sent: the log takes only its kind and places.
        number = str(getattr(request.state, "request_id", ""))
        _log.error("request failed", request_id=number, exc_info=error)
        answer = _unforeseen_answer(request)
        answer.headers["X-Request-ID"] = number
        return answer

    def _unforeseen_answer(request: Request) -> Response:
        if wants_page(request):
            message = "Ada yang keliru di sini; kejadian ini sudah dicatat."
            return render(request, "salah.html", status=500, message=message)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here; it has been logged"
        )

    app.add_exception_handler(DeskError, desk_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, unforeseen)


def wants_page(request: Request) -> bool:
    """Return whether the answer is for a person before a browser rather than for a program."""
    path = request.url.path
    return not path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


def _error_page(request: Request, error: DeskError) -> Response:
    if isinstance(error, NotSignedIn):
        return go(sign_in_path(request))
    if isinstance(error, MustChangePassword):
        return go("/ganti-sandi")
    page = render(request, "salah.html", status=error.status, message=words.said(error))
    if error.retry_after is not None:
        page.headers["Retry-After"] = str(error.retry_after)
    return page
