"""Channels and the outbox for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from service.accounts.access import Caller, Right
from service.alerts import outbox
from service.alerts.channel_schemas import (
    ChannelIn,
    ChannelMadeOut,
    ChannelOut,
    ChannelsOut,
    DeliveriesOut,
    DeliveryOut,
    DeliveryQuery,
)
from service.alerts.channels import service as channels
from service.tables import Channel
from service.web import Desk, TheCaller, TheDesk

router = APIRouter(prefix="/v1")
Number = Annotated[int, Path(ge=1, lt=2**63)]


@router.get("/channels", tags=["channels"], summary="The channels of alerts")
def get_channels(caller: TheCaller, desk: TheDesk) -> ChannelsOut:
    """Return every channel."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        found = channels.list_channels(session)
    return ChannelsOut(channels=[ChannelOut.of(channel, caller) for channel in found])


@router.post("/channels", tags=["channels"], summary="Make a channel", status_code=201)
def add_channel(body: ChannelIn, caller: TheCaller, desk: TheDesk) -> ChannelMadeOut:
    """Make a channel; the answer holds a webhook's secret, the only time."""
    caller.need(Right.ADMINISTER)
    made, secret = add(desk, caller, body.new())
    return ChannelMadeOut(channel=ChannelOut.of(made, caller), secret=secret)


@router.put("/channels/{number}", tags=["channels"], summary="Change a channel")
def change_channel(number: Number, body: ChannelIn, caller: TheCaller, desk: TheDesk) -> ChannelOut:
    """Change a channel; it keeps its kind."""
    caller.need(Right.ADMINISTER)
    return ChannelOut.of(change(desk, caller, number, body.new()), caller)


@router.post("/channels/{number}/test", tags=["channels"], summary="Send a test message")
def send_test(number: Number, caller: TheCaller, desk: TheDesk) -> DeliveryOut:
    """Put a test message into the outbox; it goes out at once."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        channel = channels.get_channel(session, number)
        sent = channels.send_test(
            session, channel, now=datetime.now(UTC), actor=caller.account.name
        )
        return DeliveryOut.of(sent)


@router.post("/channels/{number}/secret", tags=["channels"], summary="Renew a webhook's secret")
def renew_secret(number: Number, caller: TheCaller, desk: TheDesk) -> ChannelMadeOut:
    """Give a webhook a new secret; the old one ends at once."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        channel = channels.get_channel(session, number)
        secret = channels.renew_secret(session, channel, actor=caller.account.name)
    return ChannelMadeOut(channel=ChannelOut.of(channel, caller), secret=secret)


@router.post("/channels/{number}/stop", tags=["channels"], summary="Stop a channel")
def stop_channel(number: Number, caller: TheCaller, desk: TheDesk) -> ChannelOut:
    """Let nothing go out on a channel; what waits for it stays."""
    return ChannelOut.of(set_active(desk, caller, number, False), caller)


@router.post("/channels/{number}/start", tags=["channels"], summary="Let a channel go on")
def start_channel(number: Number, caller: TheCaller, desk: TheDesk) -> ChannelOut:
    """Let a stopped channel go on; what waited goes out."""
    return ChannelOut.of(set_active(desk, caller, number, True), caller)


@router.get("/deliveries", tags=["channels"], summary="What went out, and what did not")
def get_deliveries(
    caller: TheCaller, desk: TheDesk, query: Annotated[DeliveryQuery, Query()]
) -> DeliveriesOut:
    """Return a page of the outbox, without what the messages say."""
    caller.need(Right.READ)
    with desk.database.read() as session:
        found = outbox.list_deliveries(
            session,
            state=query.state,
            channel_id=query.channel,
            alert_id=query.alert,
            before=query.before,
            limit=query.limit + 1,
        )
    shown = found[: query.limit]
    return DeliveriesOut(
        deliveries=[DeliveryOut.of(delivery) for delivery in shown],
        next=shown[-1].id if len(found) > query.limit else None,
    )


@router.post("/deliveries/{number}/resend", tags=["channels"], summary="Send a dead letter again")
def resend(number: Number, caller: TheCaller, desk: TheDesk) -> DeliveryOut:
    """Let a delivery that was given up be tried anew, with its old key."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        sent = outbox.resend(session, number, now=datetime.now(UTC), actor=caller.account.name)
        return DeliveryOut.of(sent)


# --- shared with the pages ---------------------------------------------------------------------


def add(desk: Desk, caller: Caller, new: channels.NewChannel) -> tuple[Channel, str | None]:
    """Make a channel; its host's address is looked up before the transaction."""
    checked = channels.check(new, settings=desk.settings)
    with desk.database.write() as session:
        return channels.add(
            session,
            checked,
            account=caller.account,
            now=datetime.now(UTC),
            actor=caller.account.name,
        )


def change(desk: Desk, caller: Caller, number: int, new: channels.NewChannel) -> Channel:
    """Change a channel; its host's address is looked up before the transaction."""
    with desk.database.read() as session:
        before = channels.get_channel(session, number)
    checked = channels.check(new, settings=desk.settings, before=before)
    with desk.database.write() as session:
        channel = channels.get_channel(session, number)
        channels.change(session, channel, checked, now=datetime.now(UTC), actor=caller.account.name)
    return channel


def set_active(desk: Desk, caller: Caller, number: int, active: bool) -> Channel:
    """Stop a channel, or let it go on."""
    caller.need(Right.ADMINISTER)
    with desk.database.write() as session:
        channel = channels.get_channel(session, number)
        channels.set_active(session, channel, active, actor=caller.account.name)
    return channel
