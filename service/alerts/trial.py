"""Trying the alerts out: a receiver on this machine, as a channel of every active watch-list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr
from sqlalchemy import select

from service.alerts.channels import service as channels
from service.alerts.listen import HOST, Listener
from service.database import Database
from service.settings import Settings
from service.tables import Channel, WatchList

NAME: Final = "Penerima uji coba"
ACTOR: Final = "command line"
_WAIT_S: Final = 2.0


@contextmanager
def receiver(
    database: Database, settings: Settings, *, say: Callable[[str], object]
) -> Iterator[Settings]:
    """Receive on a free port what the watch-lists send meanwhile, and say it in plain words.

    Yields the settings with which a webhook may reach the receiver. The channel is made at the
    first time, and is inactive except here: a desk that goes on without the receiver does not call
    for it.
    """
    secret = channels.new_secret()
    with Listener(0, secret=secret, say=say) as listener:
        port = listener.url.rsplit(":", 1)[1].rstrip("/")
        allowed = ",".join(filter(None, (settings.webhook_hosts, f"{HOST}:{port}")))
        opened = settings.model_copy(update={"webhook_hosts": allowed})
        channel_id = _open(database, opened, listener.url, secret)
        try:
            yield opened
            if not listener.received:
                listener.wait(1, _WAIT_S)
        finally:
            with database.write() as session:
                channel = channels.get_channel(session, channel_id)
                channels.set_active(session, channel, False, actor=ACTOR)


def _open(database: Database, settings: Settings, url: str, secret: str) -> int:
    new = channels.NewChannel(name=NAME, kind="webhook", target=url)
    checked = channels.check(new, settings=settings)
    with database.write() as session:
        channel = session.scalars(select(Channel).where(Channel.name == NAME)).first()
        if channel is None:
            now = datetime.now(UTC)
            channel, _ = channels.add(session, checked, account=None, now=now, actor=ACTOR)
        channels.set_active(session, channel, True, actor=ACTOR)
        channel.target, channel.secret = SecretStr(url), SecretStr(secret)
        for watch_list in session.scalars(select(WatchList).where(WatchList.active)):
            if channel.id not in watch_list.channels:
                watch_list.channels = [*watch_list.channels, channel.id]
        return channel.id
