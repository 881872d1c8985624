"""The rules of channels: how one is made, changed, shown and tried. Nobody sees a secret twice."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NewType
from urllib.parse import urlsplit

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.alerts import outbox, targets
from service.alerts.channels.mail import Mail, Server
from service.alerts.channels.slack import Slack
from service.alerts.channels.telegram import Telegram
from service.alerts.channels.webhook import Webhook
from service.alerts.message import Line, Message, Section, one_line
from service.alerts.sender import Carriers
from service.alerts.targets import Allowed, Resolve
from service.alerts.timing import when_due
from service.audit import trail as audit
from service.errors import BadChannel, NotFound
from service.pages import alert_words, words
from service.settings import Settings
from service.tables import Account, Channel, Delivery

KINDS: Final = ("webhook", "email", "telegram", "slack")
DIGESTS: Final = ("", "hourly", "daily")
_CHAT: Final = re.compile(r"-?\d{1,20}|@[A-Za-z]\w{3,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """What a person says of a channel."""

    name: str
    kind: str
    target: str
    """URL, e-mail address, or number or @name of a chat."""
    digest: str = ""
    quiet_from: int | None = None
    """Hour in WIB, 0 to 23."""
    quiet_to: int | None = None


Checked = NewType("Checked", NewChannel)
"""What ``check`` has found good."""


def carriers(settings: Settings, *, resolve: Resolve = targets.resolve) -> Carriers:
    """Return what sends on each kind of channel that the settings provide for."""
    webhook = Webhook(Allowed.of(settings.webhook_hosts), resolve=resolve)
    made: dict[str, Webhook | Slack | Telegram | Mail] = {
        "webhook": webhook,
        "slack": Slack(webhook),
    }
    if settings.telegram_token is not None:
        made["telegram"] = Telegram(settings.telegram_token, settings.telegram_api)
    if settings.smtp_host:
        made["email"] = Mail(
            Server(
                host=settings.smtp_host,
                port=settings.smtp_port,
                tls=settings.smtp_tls,
                sender=settings.smtp_from,
                user=settings.smtp_user,
                password=settings.smtp_password,
            )
        )
    return made


def kinds(settings: Settings) -> list[str]:
    """Return the kinds of channels that the settings provide for."""
    there = carriers(settings)
    return [kind for kind in KINDS if kind in there]


def check(
    new: NewChannel,
    *,
    settings: Settings,
    before: Channel | None = None,
    resolve: Resolve = targets.resolve,
) -> Checked:
    """Return what was said of a channel, made tidy. Asks for a host's address: no transaction here.

    ``before`` is the channel that is to be changed; an empty target leaves the one it has.

    Raises:
        BadTarget: nothing may be sent to this URL.
        BadChannel: something else of it will not do.
    """
    name, target = one_line(new.name), new.target.strip()
    if not 1 <= len(name) <= 80:
        raise BadChannel("a channel has a name of 1 to 80 characters")
    if new.kind not in KINDS:
        raise BadChannel(f"there is no kind “{new.kind}”; there are {', '.join(KINDS)}")
    if before is not None:
        if new.kind != before.kind:
            raise BadChannel("a channel keeps its kind; make another one")
        target = target or before.target.get_secret_value()
    if new.digest not in DIGESTS:
        raise BadChannel("a digest is hourly, daily, or none")
    _check_quiet(new.quiet_from, new.quiet_to)
    if new.kind == "email":
        if not settings.smtp_host:
            raise BadChannel("e-mail needs the settings smtp_host and smtp_from")
        if not targets.is_mail_address(target):
            raise BadChannel("this is no e-mail address; write one address")
    elif new.kind == "telegram":
        if settings.telegram_token is None:
            raise BadChannel("Telegram needs the setting telegram_token")
        if not _CHAT.fullmatch(target):
            raise BadChannel("a chat is a number, or @ and the name of a channel")
    else:
        targets.check(target, Allowed.of(settings.webhook_hosts), resolve=resolve)
    return Checked(replace(new, name=name, target=target))


def add(
    session: Session, checked: Checked, *, account: Account | None, now: datetime, actor: str
) -> tuple[Channel, str | None]:
    """Make a channel; return it and, of a webhook, the secret: it is told this once.

    Raises:
        BadChannel: there is one of this name.
    """
    _check_name(session, checked.name, None)
    secret = new_secret() if checked.kind == "webhook" else None
    channel = Channel(
        name=checked.name,
        kind=checked.kind,
        target=SecretStr(checked.target),
        secret=None if secret is None else SecretStr(secret),
        active=True,
        digest=checked.digest,
        quiet_from=checked.quiet_from,
        quiet_to=checked.quiet_to,
        created_at=now,
        created_by_id=None if account is None else account.id,
        failures=0,
    )
    session.add(channel)
    session.flush()
    _record(session, channel, "create", actor)
    return channel, secret


def change(
    session: Session, channel: Channel, checked: Checked, *, now: datetime, actor: str
) -> None:
    """Change a channel; alerts that wait and were not tried yet follow its new habits.

    Raises:
        BadChannel: there is another of this name.
    """
    _check_name(session, checked.name, channel.id)
    session.refresh(channel, with_for_update=outbox.LOCK)
    if checked.target != channel.target.get_secret_value():
        channel.retry_at = None
    channel.name, channel.target = checked.name, SecretStr(checked.target)
    channel.digest = checked.digest
    channel.quiet_from, channel.quiet_to = checked.quiet_from, checked.quiet_to
    untried = select(Delivery).where(
        Delivery.channel_id == channel.id,
        Delivery.state == "waiting",
        Delivery.kind == "alert",
        Delivery.attempts == 0,
    )
    for delivery in session.scalars(untried):
        due = when_due(now, channel.digest, channel.quiet_from, channel.quiet_to)
        delivery.due_at = delivery.next_at = due
    _record(session, channel, "change", actor)


def set_active(session: Session, channel: Channel, active: bool, *, actor: str) -> None:
    """Stop a channel, or let it go on: what waits for it goes out then."""
    session.refresh(channel, with_for_update=outbox.LOCK)
    if channel.active != active:
        channel.active = active
        channel.failures, channel.failing_since, channel.retry_at = 0, None, None
        _record(session, channel, "start" if active else "stop", actor)


def renew_secret(session: Session, channel: Channel, *, actor: str) -> str:
    """Give a webhook a new secret and return it, this once; the old one ends at once.

    Raises:
        BadChannel: it is no webhook.
    """
    if channel.kind != "webhook":
        raise BadChannel("only webhooks are signed")
    secret = new_secret()
    channel.secret = SecretStr(secret)
    _record(session, channel, "secret", actor)
    return secret


def send_test(session: Session, channel: Channel, *, now: datetime, actor: str) -> Delivery:
    """Put a test message into the outbox; it goes out at once, in quiet hours too.

    Raises:
        BadChannel: the channel is stopped.
    """
    if not channel.active:
        raise BadChannel("this channel is stopped; let it go on first")
    message = Message(
        title=alert_words.TEST_TITLE,
        summary=alert_words.TEST_SUMMARY.format(channel=channel.name, at=words.clock(now)),
        sections=(
            Section(heading=alert_words.TEST_HEADING, lines=(Line(text=alert_words.TEST_LINE),)),
        ),
    )
    _record(session, channel, "test", actor)
    channel.retry_at = None
    return outbox.enqueue(session, channel, {"message": message.as_json()}, kind="test", now=now)


def list_channels(session: Session) -> Sequence[Channel]:
    """Return every channel by name; an agency has a handful."""
    return session.scalars(select(Channel).order_by(Channel.name)).all()


def get_channel(session: Session, channel_id: int) -> Channel:
    """Return a channel.

    Raises:
        NotFound: there is none of this number.
    """
    channel = session.get(Channel, channel_id)
    if channel is None:
        raise NotFound("there is no such channel")
    return channel


def shown(channel: Channel) -> str:
    """Return a channel's target as people may see it: of a URL, nothing that could be a key."""
    target = channel.target.get_secret_value()
    if channel.kind in ("email", "telegram"):
        return target
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.netloc}/…{target[-4:] if len(parts.path) > 20 else ''}"


def _check_quiet(quiet_from: int | None, quiet_to: int | None) -> None:
    if quiet_from is None and quiet_to is None:
        return
    if (
        quiet_from is None
        or quiet_to is None
        or not (0 <= quiet_from <= 23 and 0 <= quiet_to <= 23)
        or quiet_from == quiet_to
    ):
        raise BadChannel("quiet hours go from one full hour, 0 to 23, to another")


def _check_name(session: Session, name: str, own_id: int | None) -> None:
    taken = session.scalar(select(Channel.id).where(Channel.name == name))
    if taken is not None and taken != own_id:
        raise BadChannel(f"there is a channel “{name}” already")


def new_secret() -> str:
    """Return a secret to sign a webhook's messages with."""
    return f"lilin_{secrets.token_urlsafe(32)}"


def _record(session: Session, channel: Channel, what: str, actor: str) -> None:
    audit.record(
        session,
        actor=actor,
        action=f"channel.{what}",
        subject=f"channel:{channel.id}",
        kind=channel.kind,
    )
