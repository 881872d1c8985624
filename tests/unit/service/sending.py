"""What the tests of deliveries and channels share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from service.alerts import outbox
from service.alerts.channels.slack import Slack
from service.alerts.channels.webhook import Webhook
from service.alerts.message import Line, Message, Section
from service.alerts.sender import Carriers, Senders
from service.alerts.targets import Allowed
from service.database import Database
from service.tables import Channel, Delivery
from tests.unit.service.receivers import (
    Receiver,
)

NOW = datetime(2026, 11, 25, 3, 20, tzinfo=UTC)  # 10.20 WIB
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HERE = Allowed.of("127.0.0.0/8")
TOKEN = "12345:AbCdEf-rahasia_bot"
SHORT_S = 0.3
"""How long a receiver that never answers is waited for."""
on_sqlite = pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)

MESSAGE = Message(
    title="Obor: Bantuan tunai <b>palsu</b> & tautannya",
    summary="12 kiriman dalam 40 menit, dari 9 akun.",
    sections=(
        Section(
            heading="Kiriman terbaru",
            lines=(
                Line(text="Cair hari ini! Klik sekarang", url="https://contoh.id/a?b=1&c=2"),
                Line(text="Sebarkan ke keluarga"),
            ),
        ),
    ),
    link="https://lilin.example.go.id/peringatan/7",
)


def carriers(**more: Any) -> Carriers:
    webhook = Webhook(HERE, total_s=more.pop("total_s", 20.0), **more)
    return {"webhook": webhook, "slack": Slack(webhook)}


def make_channel(database: Database, target: str, name: str = "satu", **more: Any) -> Channel:
    values: dict[str, Any] = {"kind": "webhook", "secret": SecretStr("lilin_s"), "failures": 0}
    with database.write() as session:
        channel = Channel(name=name, target=SecretStr(target), created_at=NOW, **(values | more))
        session.add(channel)
        session.flush()
    return channel


def put(
    database: Database,
    channel: Channel,
    count: int = 1,
    *,
    now: datetime = NOW,
    kind: Literal["alert", "test"] = "alert",
) -> list[Delivery]:
    with database.write() as session:
        return [
            outbox.enqueue(
                session,
                channel,
                {"nomor": number, "message": MESSAGE.as_json()},
                kind=kind,
                alert_id=number,
                now=now,
            )
            for number in range(count)
        ]


def rows(database: Database, **by: Any) -> list[Delivery]:
    with database.read() as session:
        return list(session.scalars(select(Delivery).filter_by(**by).order_by(Delivery.id)))


def the_channel(database: Database) -> Channel:
    with database.read() as session:
        return session.scalars(select(Channel)).one()


def drain(database: Database, now: datetime = NOW, **more: Any) -> int:
    return Senders(database, more.pop("carriers", None) or carriers(), **more).drain(now)


def try_once(
    database: Database, receiver: Receiver | None = None, target: str = "", **more: Any
) -> tuple[Delivery, Channel]:
    """Send one alert on a new channel and return what is kept of it."""
    make_channel(database, receiver.url if receiver else target)
    put(database, the_channel(database))
    assert drain(database, **more) == 1
    (row,) = rows(database)
    return row, the_channel(database)
