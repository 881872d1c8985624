"""Channels and what goes out on them, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.accounts.access import Caller
from service.alerts.channels import service as channels
from service.alerts.channels.service import NewChannel
from service.privacy.masking import readable
from service.tables import Channel, Delivery
from service.web import Model, storable

Kind = Literal["webhook", "email", "telegram", "slack"]
Digest = Literal["", "hourly", "daily"]
DeliveryState = Literal["waiting", "sending", "bundled", "sent", "dead"]
Hour = Annotated[int | None, Field(ge=0, le=23)]
Id = Annotated[int, Field(gt=0, lt=2**63)]


class ChannelIn(Model):
    """A channel; with an empty `target` a change keeps the one it has."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Meja piket",
                    "kind": "webhook",
                    "target": "https://piket.example.go.id/lilin",
                    "quiet_from": 22,
                    "quiet_to": 5,
                }
            ]
        }
    )
    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: Kind
    target: Annotated[str, Field(max_length=2000)] = ""
    digest: Digest = ""
    quiet_from: Hour = None
    quiet_to: Hour = None

    def new(self) -> NewChannel:
        """Return the channel for ``service.alerts.channels``."""
        return NewChannel(
            name=storable(self.name),
            kind=self.kind,
            target=storable(self.target),
            digest=self.digest,
            quiet_from=self.quiet_from,
            quiet_to=self.quiet_to,
        )


class ChannelOut(Model):
    """A channel and how it has been of late; its target is shown without what could be a key."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    name: str
    kind: Kind
    target: str
    active: bool
    digest: Digest
    quiet_from: int | None
    quiet_to: int | None
    failures: int
    last_ok_at: datetime | None
    last_error: str | None

    @classmethod
    def of(cls, channel: Channel, caller: Caller) -> ChannelOut:
        """Return what the caller may see of a channel."""
        same = set(cls.model_fields) - {"target"}
        return cls(
            **{name: getattr(channel, name) for name in same},
            target=readable(channels.shown(channel), caller),
        )


class ChannelMadeOut(Model):
    """A channel that was made; `secret` signs a webhook's messages and is told this once."""

    channel: ChannelOut
    secret: str | None


class ChannelsOut(Model):
    """Every channel, by name."""

    channels: list[ChannelOut]


class DeliveryOut(Model):
    """A message of the outbox, without what it says."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    channel: int
    channel_name: str
    alert: int | None
    kind: Literal["alert", "digest", "test"]
    key: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime
    sent_at: datetime | None
    last_error: str | None
    answer_status: int | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryOut:
        """Return a delivery as it is shown."""
        same = set(cls.model_fields) - {"channel", "channel_name", "alert"}
        return cls(
            **{name: getattr(delivery, name) for name in same},
            channel=delivery.channel_id,
            channel_name=delivery.channel.name,
            alert=delivery.alert_id,
        )


class DeliveriesOut(Model):
    """A page of deliveries, the newest first; `next` goes into `before`, null at the end."""

    deliveries: list[DeliveryOut]
    next: int | None


class DeliveryQuery(Model):
    """Filters of the deliveries."""

    state: DeliveryState | None = None
    channel: Id | None = None
    alert: Id | None = None
    before: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
