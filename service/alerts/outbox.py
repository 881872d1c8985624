"""The outbox: messages are written with what they tell, and sent later, at least once.

A sender takes a channel, not a message: it holds the channel by a lease while one message of it
goes out, so that messages of a channel go one after another however many senders there are, and a
dead channel costs one try at a time. What a killed sender left half done is taken up with the
channel once its lease has run out, with the same key. Nothing is sent inside a transaction.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased, joinedload

from service.alerts.channels.outcome import Outcome
from service.alerts.message import Line, Message, Section
from service.alerts.timing import next_pause, quiet_end, when_due
from service.audit import trail as audit
from service.database import Database
from service.errors import NotDead, NotFound
from service.pages import alert_words
from service.tables import Channel, Delivery

ACTOR: Final = "sender"
GIVE_UP: Final = timedelta(hours=72)
"""A channel that is down over a long weekend loses nothing; after it, what waits is a dead letter."""
LOCK: Final = {"key_share": True}
"""Of a channel's row: others may put messages into the outbox meanwhile."""
_LEAST_TRIES: Final = 3
_BUNDLE: Final = 50
"""Alerts in one digest at most."""
_PAGE: Final = 100
_OPEN: Final = ("waiting", "sending")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A message that is to be sent now, and its channel, as they were when they were taken."""

    channel: Channel
    delivery: Delivery


# --- what goes in ------------------------------------------------------------------------------


def enqueue(
    session: Session,
    channel: Channel,
    payload: Mapping[str, Any],
    *,
    kind: Literal["alert", "test"] = "alert",
    alert_id: int | None = None,
    now: datetime,
    not_before: datetime | None = None,
) -> Delivery:
    """Put a message into the outbox, in the transaction of what it tells, and return it.

    ``payload`` must be JSON; its ``message`` is what people read (``Message.as_json``). An alert
    waits for the channel's digest and for the end of its quiet hours; a test does not.
    """
    start = now if not_before is None else max(now, not_before)
    if kind == "alert":
        start = when_due(start, channel.digest, channel.quiet_from, channel.quiet_to)
    delivery = Delivery(
        channel_id=channel.id,
        alert_id=alert_id,
        kind=kind,
        key=_new_key(),
        payload=dict(payload),
        created_at=now,
        due_at=start,
        next_at=start,
    )
    session.add(delivery)
    session.flush()
    return delivery


def resend(session: Session, delivery_id: int, *, now: datetime, actor: str) -> Delivery:
    """Let a dead letter be tried anew, with its old key; return what is sent: it or its digest.

    Raises:
        NotFound: there is no such delivery.
        NotDead: it was not given up.
    """
    delivery = session.get(Delivery, delivery_id)
    if delivery is not None and delivery.bundle_id is not None:
        delivery = session.get(Delivery, delivery.bundle_id)
    if delivery is None:
        raise NotFound("there is no such delivery")
    channel = session.get_one(Channel, delivery.channel_id, with_for_update=LOCK)
    session.refresh(delivery)
    if delivery.state != "dead":
        raise NotDead("only a delivery that was given up can be sent again")
    delivery.state, delivery.attempts = "waiting", 0
    delivery.due_at = delivery.next_at = now
    _move_members(session, delivery, "bundled")
    channel.retry_at = None
    subject = f"delivery:{delivery.id}"
    audit.record(session, actor=actor, action="delivery.resend", subject=subject)
    return delivery


def list_deliveries(
    session: Session,
    *,
    state: str | None = None,
    channel_id: int | None = None,
    alert_id: int | None = None,
    before: int | None = None,
    limit: int = _PAGE,
) -> Sequence[Delivery]:
    """Return deliveries with their channels, the newest first, older than ``before``."""
    query = select(Delivery).options(joinedload(Delivery.channel)).order_by(Delivery.id.desc())
    for column, value in (
        (Delivery.state, state),
        (Delivery.channel_id, channel_id),
        (Delivery.alert_id, alert_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(Delivery.id < before)
    return session.scalars(query.limit(limit)).all()


def dead_count(session: Session) -> int:
    """Return how many dead letters there are."""
    dead = select(func.count()).select_from(Delivery).where(Delivery.state == "dead")
    return session.scalar(dead) or 0


def closed_before(before: datetime) -> Select[int]:
    """Return the query of what was sent or given up and is older than ``before``."""
    closed = Delivery.state.in_(("sent", "dead"))
    return select(Delivery.id).where(Delivery.created_at < before, closed)


def forget(session: Session, *, before: datetime) -> int:
    """Delete what was sent or given up and is older than ``before``; return how much it was."""
    member = aliased(Delivery)
    kept = select(member.id).where(member.bundle_id == Delivery.id).exists()
    count = 0
    for condition in (Delivery.bundle_id.is_not(None), ~kept):
        done: Any = session.execute(
            delete(Delivery)
            .where(Delivery.id.in_(closed_before(before).where(condition)))
            .execution_options(synchronize_session=False)
        )
        count += int(done.rowcount)
    return count


# --- what goes out ---------------------------------------------------------------------------------


def take(
    database: Database, owner: str, *, now: datetime, lease: timedelta, healthy: bool = False
) -> Job | None:
    """Take the channel that waits longest for its turn, and of it the message that is due first.

    With ``healthy`` only a channel whose last try did well. None: nothing is due.

    Raises:
        DatabaseUnavailable: the database is gone or locked.
    """
    while True:
        ready = _ready(now, healthy)
        with database.read() as session:  # most of the time there is nothing: no lock is needed
            if session.scalar(ready.with_only_columns(Channel.id)) is None:
                return None
        with database.write() as session:
            channel = session.scalars(
                ready.with_for_update(skip_locked=True, key_share=True)
            ).first()
            if channel is None:
                return None
            delivery = _next_of(session, channel, now)
            if delivery is None:  # quiet hours put it off, or another sender was quicker
                continue
            channel.tried_at = now
            channel.lease_owner, channel.lease_until = owner, now + lease
            delivery.state = "sending"
            delivery.attempts += 1
            session.flush()
            return Job(channel=channel, delivery=delivery)


def settle(
    database: Database, owner: str, job: Job, outcome: Outcome, *, now: datetime, dice: float
) -> str | None:
    """Write down what became of a try, and let the channel go.

    ``dice`` in [0, 1) scatters the next try. Returns the delivery's state; None: the lease had run
    out, the message is another's and nothing was written.

    Raises:
        DatabaseUnavailable: the database is gone or locked.
    """
    with database.write() as session:
        channel = session.get(Channel, job.channel.id, with_for_update=LOCK)
        if channel is None or channel.lease_owner != owner:
            return None
        delivery = session.get_one(Delivery, job.delivery.id)
        channel.lease_owner = channel.lease_until = None
        channel.last_error = delivery.last_error = outcome.error
        delivery.answer_status = outcome.status
        if outcome.error is None:
            delivery.state, delivery.sent_at = "sent", now
            channel.last_ok_at = now
            _recovered(channel)
            _move_members(session, delivery, "sent", now)
            return delivery.state
        _put_off(delivery, channel, outcome, now, dice)
        if outcome.gone:
            channel.active = False
            subject = f"channel:{channel.id}"
            audit.record(session, actor=ACTOR, action="channel.stop", subject=subject)
        elif channel.failing_since is not None and channel.failing_since <= now - GIVE_UP:
            _give_up_the_old(session, channel, now)
        if delivery.state == "dead":
            _move_members(session, delivery, "dead")
        return delivery.state


def _ready(now: datetime, healthy: bool) -> Any:
    """Return the query of the channel whose turn it is."""
    due = select(Delivery.id).where(
        Delivery.channel_id == Channel.id, Delivery.state.in_(_OPEN), Delivery.next_at <= now
    )
    conditions: list[ColumnElement[bool]] = [
        Channel.active.is_(True),
        or_(Channel.lease_until.is_(None), Channel.lease_until <= now),
        or_(Channel.retry_at.is_(None), Channel.retry_at <= now),
        due.exists(),
    ]
    if healthy:
        conditions.append(Channel.failures == 0)
    return (
        select(Channel)
        .where(*conditions)
        .order_by(Channel.tried_at.nulls_first(), Channel.id)
        .limit(1)
    )


def _next_of(session: Session, channel: Channel, now: datetime) -> Delivery | None:
    """Return what goes out next on a channel whose row is locked."""
    _keep_quiet(session, channel, now)
    return _bundle(session, channel, now) or session.scalars(_due(channel, now)).first()


def _due(channel: Channel, now: datetime) -> Any:
    """Return the query of what is due on a channel, a test first: somebody waits for it.

    Under the channel's lease nothing is really being sent, whatever its state says.
    """
    return (
        select(Delivery)
        .where(
            Delivery.channel_id == channel.id,
            Delivery.state.in_(_OPEN),
            Delivery.next_at <= now,
        )
        .order_by(Delivery.kind != "test", Delivery.next_at, Delivery.id)
        .limit(1)
    )


def _keep_quiet(session: Session, channel: Channel, now: datetime) -> None:
    """Put off what is due where the channel is quiet now: it may have waited for other reasons."""
    until = quiet_end(now, channel.quiet_from, channel.quiet_to)
    if until > now:
        session.execute(
            update(Delivery)
            .where(
                Delivery.channel_id == channel.id,
                Delivery.state.in_(_OPEN),
                Delivery.next_at <= now,
                Delivery.kind != "test",
            )
            .values(state="waiting", next_at=until)
        )


def _bundle(session: Session, channel: Channel, now: datetime) -> Delivery | None:
    """Put the alerts that are due on a channel with digests into one; None: there is no need."""
    if not channel.digest:
        return None
    alerts = session.scalars(
        _due(channel, now)
        .where(Delivery.kind == "alert", Delivery.attempts == 0, Delivery.bundle_id.is_(None))
        .limit(_BUNDLE)
    ).all()
    if len(alerts) < 2:
        return None
    digest = Delivery(
        channel_id=channel.id,
        kind="digest",
        key=_new_key(),
        payload=digest_payload([alert.payload for alert in alerts]),
        attempts=0,
        created_at=now,
        due_at=now,
        next_at=now,
    )
    session.add(digest)
    session.flush()
    for alert in alerts:
        alert.state, alert.bundle_id = "bundled", digest.id
    return digest


def digest_payload(payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the payload of a digest: the alerts' payloads, and a message that lists them."""
    messages = [Message.of(payload) for payload in payloads]
    message = Message(
        title=alert_words.DIGEST_TITLE.format(count=len(messages)),
        sections=tuple(
            Section(
                heading=message.title,
                lines=(Line(text=message.summary or alert_words.OPEN_IN_LILIN, url=message.link),),
            )
            for message in messages
        ),
    )
    return {"alerts": [dict(payload) for payload in payloads], "message": message.as_json()}


def _put_off(
    delivery: Delivery, channel: Channel, outcome: Outcome, now: datetime, dice: float
) -> None:
    pause = max(next_pause(delivery.attempts, dice), outcome.wait or timedelta())
    too_old = delivery.due_at <= now - GIVE_UP and delivery.attempts >= _LEAST_TRIES
    delivery.state = "dead" if too_old or outcome.gone else "waiting"
    delivery.next_at = now + pause
    if outcome.only_this:  # the channel itself answers
        _recovered(channel)
        return
    channel.failures += 1
    channel.failing_since = channel.failing_since or now
    channel.retry_at = now + max(next_pause(channel.failures, dice), outcome.wait or timedelta())


def _recovered(channel: Channel) -> None:
    channel.failures, channel.failing_since, channel.retry_at = 0, None, None


def _give_up_the_old(session: Session, channel: Channel, now: datetime) -> None:
    """Give up what has waited too long for a channel that has been down for all that time."""
    session.execute(
        update(Delivery)
        .where(
            Delivery.channel_id == channel.id,
            Delivery.state == "waiting",
            Delivery.due_at <= now - GIVE_UP,
        )
        .values(state="dead", last_error=channel.last_error)
    )
    digests = select(Delivery.id).where(
        Delivery.channel_id == channel.id, Delivery.kind == "digest", Delivery.state == "dead"
    )
    session.execute(
        update(Delivery)
        .where(and_(Delivery.state == "bundled", Delivery.bundle_id.in_(digests)))
        .values(state="dead")
        .execution_options(synchronize_session=False)
    )


def _move_members(
    session: Session, digest: Delivery, state: str, sent_at: datetime | None = None
) -> None:
    """Let the alerts of a digest be what it is."""
    if digest.kind == "digest":
        session.execute(
            update(Delivery)
            .where(Delivery.bundle_id == digest.id)
            .values(state=state, sent_at=sent_at)
        )


def _new_key() -> str:
    return secrets.token_hex(16)
