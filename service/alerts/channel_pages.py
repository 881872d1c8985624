"""The pages of channels: what they are, how they have been, and what did not go out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from service.accounts.access import Caller, Right
from service.alerts import outbox
from service.alerts.channel_routes import add, change, set_active
from service.alerts.channels import service as channels
from service.alerts.channels.service import NewChannel
from service.errors import BadChannel
from service.pages import alert_words, words
from service.pages.render import Viewer, go, render
from service.privacy.masking import readable
from service.tables import Channel
from service.web import Desk, TheDesk, storable

router = APIRouter(include_in_schema=False)
LATEST: Final = 10
"""Deliveries that a channel's page lists."""
DEAD: Final = 50
Number = Annotated[int, Path(ge=1, lt=2**63)]
Short = Annotated[str, Form(max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What stands in the form's fields."""

    name: str = ""
    kind: str = "webhook"
    target: str = ""
    digest: str = ""
    quiet_from: str = ""
    quiet_to: str = ""

    @classmethod
    def of(cls, channel: Channel) -> Typed:
        """Return the form of a channel as it is; its target stays where it is."""
        return cls(
            name=channel.name,
            kind=channel.kind,
            digest=channel.digest,
            quiet_from="" if channel.quiet_from is None else str(channel.quiet_from),
            quiet_to="" if channel.quiet_to is None else str(channel.quiet_to),
        )

    def new(self) -> NewChannel:
        """Return the channel that is asked for."""
        return NewChannel(
            name=self.name,
            kind=self.kind,
            target=self.target,
            digest=self.digest,
            quiet_from=_hour(self.quiet_from),
            quiet_to=_hour(self.quiet_to),
        )


def _hour(text: str) -> int | None:
    """Return an hour; what is none is one that no day has, for the rules to refuse."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else -1


def typed(
    nama: Short = "",
    jenis: Short = "webhook",
    tujuan: Annotated[str, Form(max_length=2000)] = "",
    ringkasan: Short = "",
    tenang_dari: Short = "",
    tenang_sampai: Short = "",
) -> Typed:
    """Return the form as it was filled in."""
    return Typed(
        name=storable(nama),
        kind=storable(jenis),
        target=storable(tujuan),
        digest=storable(ringkasan),
        quiet_from=tenang_dari.strip(),
        quiet_to=tenang_sampai.strip(),
    )


Filled = Annotated[Typed, Depends(typed)]


# --- the list ----------------------------------------------------------------------------------


@router.get("/saluran")
def channels_page(request: Request, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """List the channels, and what was given up."""
    return _list(request, caller, desk, Typed())


@router.post("/saluran")
def create(request: Request, caller: Viewer, desk: TheDesk, form: Filled) -> HTMLResponse:
    """Make a channel and show a webhook's secret on the answer, the only time."""
    caller.need(Right.ADMINISTER)
    try:
        made, secret = add(desk, caller, form.new())
    except BadChannel as error:
        return _list(request, caller, desk, form, error=error)
    return _list(request, caller, desk, Typed(), made=made.name, secret=secret)


def _list(
    request: Request,
    caller: Caller,
    desk: Desk,
    form: Typed,
    *,
    error: BadChannel | None = None,
    made: str | None = None,
    secret: str | None = None,
) -> HTMLResponse:
    caller.need(Right.READ)
    with desk.database.read() as session:
        found = channels.list_channels(session)
        dead = outbox.list_deliveries(session, state="dead", limit=DEAD)
        count = outbox.dead_count(session)
    query = request.query_params
    return render(
        request,
        "saluran.html",
        caller=caller,
        status=error.status if error else 200,
        said=f"Saluran “{made}” dibuat." if made else alert_words.DONE.get(query.get("sudah", "")),
        failed=words.said(error) if error else words.ERRORS.get(query.get("gagal", "")),
        channels=[(channel, readable(channels.shown(channel), caller)) for channel in found],
        dead=dead,
        dead_count=count,
        form=form,
        opened=error is not None,
        kinds=channels.kinds(desk.settings),
        secret=(made, secret) if secret else None,
    )


# --- one ---------------------------------------------------------------------------------------


@router.get("/saluran/{number}")
def channel_page(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> HTMLResponse:
    """Show a channel, its form and its latest messages."""
    return _one(request, caller, desk, number)


@router.post("/saluran/{number}")
def update(
    request: Request, number: Number, caller: Viewer, desk: TheDesk, form: Filled
) -> Response:
    """Change a channel."""
    caller.need(Right.ADMINISTER)
    try:
        change(desk, caller, number, form.new())
    except BadChannel as error:
        return _one(request, caller, desk, number, form=form, error=error)
    return go(f"/saluran/{number}?sudah=saluran-ubah")


@router.post("/saluran/{number}/uji")
def test(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Send a test message."""
    caller.need(Right.ADMINISTER)
    try:
        with desk.database.write() as session:
            channels.send_test(
                session,
                channels.get_channel(session, number),
                now=datetime.now(UTC),
                actor=caller.account.name,
            )
    except BadChannel as error:
        return _one(request, caller, desk, number, error=error)
    return go(f"/saluran/{number}?sudah=uji")


@router.post("/saluran/{number}/rahasia")
def renew_secret(request: Request, number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Give a webhook a new secret and show it on the answer, the only time."""
    caller.need(Right.ADMINISTER)
    try:
        with desk.database.write() as session:
            channel = channels.get_channel(session, number)
            secret = channels.renew_secret(session, channel, actor=caller.account.name)
    except BadChannel as error:
        return _one(request, caller, desk, number, error=error)
    return _one(request, caller, desk, number, secret=secret)


@router.post("/saluran/{number}/henti")
def stop(number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Let nothing go out on a channel."""
    set_active(desk, caller, number, False)
    return go(f"/saluran/{number}?sudah=saluran-henti")


@router.post("/saluran/{number}/jalan")
def start(number: Number, caller: Viewer, desk: TheDesk) -> Response:
    """Let a stopped channel go on."""
    set_active(desk, caller, number, True)
    return go(f"/saluran/{number}?sudah=saluran-jalan")


def _one(
    request: Request,
    caller: Caller,
    desk: Desk,
    number: int,
    *,
    form: Typed | None = None,
    error: BadChannel | None = None,
    secret: str | None = None,
) -> HTMLResponse:
    caller.need(Right.READ)
    with desk.database.read() as session:
        channel = channels.get_channel(session, number)
        latest = outbox.list_deliveries(session, channel_id=number, limit=LATEST)
    query = request.query_params
    return render(
        request,
        "saluran_satu.html",
        caller=caller,
        status=error.status if error else 200,
        said=alert_words.DONE.get(query.get("sudah", "")),
        failed=words.said(error) if error else words.ERRORS.get(query.get("gagal", "")),
        channel=channel,
        target=readable(channels.shown(channel), caller),
        latest=latest,
        form=form or Typed.of(channel),
        secret=secret,
        back=f"/saluran/{number}",
    )
