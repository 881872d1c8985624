"""Whether the desk is alive and ready, and what it has counted."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import ip_address
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CONTENT_TYPE_LATEST

from service.accounts.access import Right
from service.errors import DatabaseUnavailable
from service.migrations import state_of
from service.operations.metrics import Metrics
from service.web import TheDesk, bearer, caller_of

router = APIRouter(tags=["operation"])
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@router.get("/healthz", summary="The process is alive")
async def healthz() -> dict[str, str]:
    """Answer; asks nothing of database or model."""
    return {"status": "ok"}


@router.get("/readyz", summary="Database and model are ready")
def readyz(response: Response, desk: TheDesk) -> dict[str, str]:
    """Say whether requests can be served: the database answers and its tables fit the code."""
    try:
        wrong = state_of(desk.database)
    except DatabaseUnavailable as error:
        wrong = str(error)
    if wrong is not None:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return {"status": wrong}
    return {"status": "ready", "model": desk.batcher.version}


@router.get("/metrics", summary="Counts for Prometheus", response_class=Response)
def metrics(
    request: Request,
    desk: TheDesk,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Response:
    """Return the counts in Prometheus' text format, to this machine or a key that may read."""
    if desk.settings.metrics != "loopback" or not from_this_machine(request):
        caller_of(request, credentials).need(Right.READ)
    counted: Metrics = request.app.state.metrics
    return Response(
        counted.exposition(),
        media_type=CONTENT_TYPE_LATEST,
        headers={"Cache-Control": "no-store"},
    )


def from_this_machine(request: Request) -> bool:
    """Return whether the one who asks is on this machine; who came through a proxy is not."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
