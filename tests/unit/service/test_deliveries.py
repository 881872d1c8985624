"""Alerts on their way out: the outbox and its senders, against real receivers."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.alerts import client, outbox, signature, timing
from service.alerts.channels import service as channels
from service.alerts.channels import telegram
from service.alerts.channels.outcome import Outcome, retry_after
from service.alerts.channels.webhook import Webhook
from service.alerts.message import Message, plain
from service.alerts.sender import Sender, Senders
from service.alerts.targets import Allowed
from service.audit import trail as audit
from service.database import Database
from service.errors import NotDead, NotFound
from service.operations import logs
from service.operations.metrics import Metrics
from service.pages.alert_words import DELIVERY_ERRORS
from service.pages.words import WIB
from service.settings import Settings
from service.tables import AuditRow, Channel
from tests.unit.service.receivers import (
    PATIENCE_S,
    Got,
    Receiver,
    Reply,
    closed_port,
    serving,
)
from tests.unit.service.sending import (
    DAY,
    HOUR,
    MESSAGE,
    NOW,
    SHORT_S,
    carriers,
    drain,
    make_channel,
    on_sqlite,
    put,
    rows,
    the_channel,
    try_once,
)

# --- in and out -----------------------------------------------------------------------------------


def test_a_webhook_gets_the_payload_signed_and_with_its_key(database: Database) -> None:
    with Receiver() as receiver:
        row, channel = try_once(database, receiver)
    (got,) = receiver.got
    body = json.loads(got.body)
    assert body["nomor"] == 0
    assert body["message"] == json.loads(json.dumps(MESSAGE.as_json()))
    assert (body["delivery"], body["kind"]) == (row.key, "alert")
    assert datetime.fromisoformat(body["created_at"]) == NOW
    assert got.headers["content-type"] == "application/json"
    assert got.headers["idempotency-key"] == got.headers["x-lilin-delivery"] == row.key
    signed, now_s = got.headers["lilin-signature"], NOW.timestamp()
    assert signature.holds(signed, got.body, "lilin_s", now_s=now_s + 299)
    assert not signature.holds(signed, got.body, "lilin_s", now_s=now_s + 301)
    assert not signature.holds(signed, got.body + b" ", "lilin_s", now_s=now_s)
    assert not signature.holds(signed, got.body, "lilin_t", now_s=now_s)
    assert (row.state, row.sent_at, row.attempts, row.answer_status) == ("sent", NOW, 1, 200)
    assert (channel.last_ok_at, channel.last_error, channel.lease_owner) == (NOW, None, None)


def test_what_is_put_out_in_a_transaction_that_fails_is_never_sent(database: Database) -> None:
    channel = make_channel(database, "http://127.0.0.1/")

    def fail(session: Session) -> None:
        outbox.enqueue(session, channel, {}, now=NOW)
        raise NotFound("half way")

    with pytest.raises(NotFound), database.write() as session:
        fail(session)
    assert rows(database) == []


def test_nothing_is_sent_before_its_time_nor_on_a_stopped_channel(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url)
        with database.write() as session:
            outbox.enqueue(session, channel, {}, now=NOW, not_before=NOW + HOUR)
        assert drain(database) == 0
        with database.write() as session:
            channels.set_active(session, channels.get_channel(session, 1), False, actor="ani")
        assert drain(database, NOW + HOUR) == 0
        with database.write() as session:
            channels.set_active(session, channels.get_channel(session, 1), True, actor="ani")
        assert drain(database, NOW + HOUR) == 1


def test_many_senders_send_each_message_once_and_one_at_a_time_on_a_channel(
    database: Database,
) -> None:
    with Receiver() as one, Receiver() as two:
        for number, receiver in enumerate((one, two)):
            channel = make_channel(database, receiver.url, f"saluran {number}")
            put(database, channel, 15)
        senders = [Senders(database, carriers(), threads=3) for _ in range(2)]
        threads = [threading.Thread(target=s.drain, args=(NOW,)) for s in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for sender in senders:
            sender.drain(NOW)
    for receiver in (one, two):
        assert len(receiver.got) == len(set(receiver.keys)) == 15
        assert receiver.most_at_once == 1
    assert {row.state for row in rows(database)} == {"sent"}


def test_running_senders_send_what_comes_and_stop_in_good_order(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url)
        senders = Senders(database, carriers(), poll_s=0.02, clock=lambda: NOW)
        senders.start()
        put(database, channel, 3)
        receiver.wait_for(3)
        senders.close()
    assert {row.state for row in rows(database)} == {"sent"}


def test_a_channel_that_hangs_holds_up_nobody_else(database: Database) -> None:
    over = threading.Event()

    def hang(_: Got) -> Reply:
        over.wait(PATIENCE_S)
        return Reply()

    with Receiver(hang) as slow, Receiver() as quick:
        # Each of them is older than the quick one and waits until that has its message.
        for number in range(5):
            put(database, make_channel(database, slow.url, f"lambat {number}", failures=1), 10)
        put(database, make_channel(database, quick.url, "cepat"), 5, now=NOW)
        used = carriers(total_s=2.0 * PATIENCE_S)
        senders = Senders(database, used, threads=4, poll_s=0.02, clock=lambda: NOW)
        senders.start()
        quick.wait_for(5)
        over.set()
        senders.close()


def test_a_lease_that_ran_out_gives_the_message_to_another_with_the_same_key(
    database: Database,
) -> None:
    channel = make_channel(database, "http://127.0.0.1/")
    put(database, channel)
    lease = timedelta(seconds=60)
    first = outbox.take(database, "a", now=NOW, lease=lease)
    assert first is not None
    assert outbox.take(database, "b", now=NOW + lease / 2, lease=lease) is None
    second = outbox.take(database, "b", now=NOW + lease, lease=lease)
    assert second is not None
    assert second.delivery.key == first.delivery.key
    assert second.delivery.attempts == 2
    done = Outcome(status=200)
    late = NOW + lease + HOUR / 100
    assert outbox.settle(database, "a", first, done, now=late, dice=0) is None
    assert outbox.settle(database, "b", second, done, now=late, dice=0) == "sent"


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_channel_that_is_down_for_a_day_loses_nothing(database: Database) -> None:
    port = closed_port()
    channel = make_channel(database, f"http://127.0.0.1:{port}/")
    keys = {row.key for row in put(database, channel, 20)}
    now, tries = NOW, 0
    while now < NOW + DAY:
        tries += drain(database, now)
        until = the_channel(database).retry_at
        assert until is not None
        assert now < until <= now + timing.LONGEST_PAUSE
        now = until
    assert tries < 250, "one message finds out, not each of them"
    assert {row.state for row in rows(database)} == {"waiting"}
    assert the_channel(database).last_error == "refused"
    with Receiver(port=port) as receiver:
        for _ in range(3):  # each of those that were tried has its own pause to the end
            drain(database, now)
            now += timing.LONGEST_PAUSE
    assert sorted(receiver.keys) == sorted(keys)
    assert {row.state for row in rows(database)} == {"sent"}
    found = the_channel(database)
    assert (found.failures, found.failing_since, found.last_error) == (0, None, None)


def test_after_three_days_it_is_a_dead_letter_that_can_be_sent_again(database: Database) -> None:
    port = closed_port()
    channel = make_channel(database, f"http://127.0.0.1:{port}/")
    key = put(database, channel)[0].key
    put(database, channel, 2, now=NOW + HOUR)
    now = NOW
    while not (dead := rows(database, state="dead")):
        drain(database, now)
        now = the_channel(database).retry_at or now
    assert now - NOW > timedelta(hours=48)
    assert [row.key for row in dead] == [key]
    with database.read() as session:
        assert outbox.dead_count(session) == 1
        (listed,) = outbox.list_deliveries(session, state="dead")
    assert (listed.channel.name, listed.last_error) == ("satu", "refused")
    with database.write() as session:
        outbox.resend(session, dead[0].id, now=now, actor="ani")
    with Receiver(port=port) as receiver:
        drain(database, now)
        drain(database, now + HOUR)
    assert key in receiver.keys
    assert {row.state for row in rows(database)} == {"sent"}
    with pytest.raises(NotDead), database.write() as session:
        outbox.resend(session, dead[0].id, now=now, actor="ani")
    with pytest.raises(NotFound), database.write() as session:
        outbox.resend(session, 99, now=now, actor="ani")
    with database.read() as session:
        told = session.scalars(select(AuditRow).where(AuditRow.action == "delivery.resend")).one()
        assert (told.actor, told.subject) == ("ani", f"delivery:{dead[0].id}")
        audit.verify(session)


def test_when_a_channel_was_down_for_three_days_all_that_waited_so_long_is_given_up(
    database: Database,
) -> None:
    channel = make_channel(database, f"http://127.0.0.1:{closed_port()}/", failing_since=NOW)
    put(database, channel, 30)
    put(database, channel, 5, now=NOW + DAY)
    drain(database, NOW + outbox.GIVE_UP)
    assert len(rows(database, state="dead")) == 30
    assert len(rows(database, state="waiting")) == 5


@on_sqlite
def test_quiet_hours_do_not_lengthen_the_days_of_trying(database: Database) -> None:
    target = f"http://127.0.0.1:{closed_port()}/"
    put(database, make_channel(database, target, quiet_from=22, quiet_to=6))
    now = NOW
    while rows(database)[0].state != "dead":
        now += timing.LONGEST_PAUSE
        drain(database, now)
        assert now < NOW + outbox.GIVE_UP + DAY


@on_sqlite
def test_a_redirect_is_an_error_and_nobody_goes_there(database: Database) -> None:
    with Receiver() as elsewhere:
        moved = {"Location": elsewhere.url}
        with Receiver(lambda _: Reply(status=307, headers=moved)) as receiver:
            row, channel = try_once(database, receiver)
    assert (row.state, row.last_error, row.answer_status) == ("waiting", "redirect", 307)
    assert elsewhere.got == []
    assert channel.failures == 1


@on_sqlite
def test_a_receiver_that_never_answers_is_left_at_the_deadline(database: Database) -> None:
    over = threading.Event()

    def hang(_: Got) -> Reply:
        over.wait(PATIENCE_S)
        return Reply()

    with Receiver(hang) as receiver:
        row, _ = try_once(database, receiver, carriers=carriers(total_s=SHORT_S))
        over.set()
    assert (row.state, row.last_error) == ("waiting", "timeout")


def trickle(connection: socket.socket) -> None:
    """Send a byte of a header now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Pelan: ")
    connection.settimeout(0.02)
    while True:
        try:
            if connection.recv(4096) == b"":
                return
        except TimeoutError:
            connection.sendall(b"a")


def flood(connection: socket.socket) -> None:
    """Send an endless body."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n")


def says(answer: bytes) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return handle


@on_sqlite
@pytest.mark.parametrize(
    ("handle", "error"),
    [
        (says(b""), "garbage broken"),
        (says(b"\x00\xff\xfe garbage\r\n\r\n"), "garbage"),
        (says(b"220 surat.test ESMTP\r\n"), "garbage"),
        (says(b"HTTP/1.1 abc OK\r\n\r\n"), "garbage"),
        (says(b"HTTP/1.1 99999 OK\r\n\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "garbage"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"), "garbage"),
        (says(b"HTTP/1.1 100 Continue\r\n\r\n" * 50), "garbage broken"),
        (trickle, "timeout"),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc"), None),
        (says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"), None),
        (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"), None),
        (says(b"HTTP/1.1 200 OK\r\nContent-Type: text/\xff\xfe\r\n\r\n\x00\xff"), None),
        (flood, None),
    ],
)
def test_garbage_does_no_harm_and_a_status_is_what_counts(
    database: Database, handle: Callable[[socket.socket], None], error: str | None
) -> None:
    with serving(handle) as port:
        row, _ = try_once(
            database, target=f"http://127.0.0.1:{port}/", carriers=carriers(total_s=SHORT_S * 3)
        )
    if error is None:
        assert (row.state, row.last_error) == ("sent", None)
    else:
        assert row.last_error in error.split()
        assert row.state == "waiting"


@on_sqlite
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_patience_gets_it(database: Database, status: int) -> None:
    reply = Reply(status=status, headers={"Retry-After": "3600"})
    with Receiver(lambda _: reply) as receiver:
        put(database, make_channel(database, receiver.url), 5)
        assert drain(database) == 1
        assert drain(database, NOW + HOUR * 0.99) == 0
        receiver.reply = lambda _: Reply()
        assert drain(database, NOW + HOUR) == 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Wed, 25 Nov 2026 03:30:00 GMT", 600),
        ("Wed, 25 Nov 2020 03:30:00 GMT", 0),
        ("Wed, 25 Nov 2026 03:30:00", 600),
        ("99999999999999999999", 86_400),
        ("Wed, 25 Nov 2126 03:30:00 GMT", 86_400),
        ("-5", None),
        ("12.5", None),
        ("besok", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(
    value: str | None, seconds: float | None
) -> None:
    found = retry_after(value, NOW)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_a_receiver_that_is_gone_stops_its_channel(database: Database) -> None:
    with Receiver(lambda _: Reply(status=410)) as receiver:
        put(database, make_channel(database, receiver.url), 3)
        assert drain(database) == 1
        assert drain(database, NOW + DAY) == 0
    assert not the_channel(database).active
    assert sorted(row.state for row in rows(database)) == ["dead", "waiting", "waiting"]
    with database.read() as session:
        told = session.scalars(select(AuditRow).where(AuditRow.action == "channel.stop")).one()
        assert told.actor == outbox.ACTOR


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_message_that_is_refused_holds_up_no_other(database: Database, status: int) -> None:
    def reply(got: Got) -> Reply:
        return Reply(status=status) if json.loads(got.body)["nomor"] == 0 else Reply()

    with Receiver(reply) as receiver:
        put(database, make_channel(database, receiver.url), 4)
        assert drain(database) == 4
    states = [row.state for row in rows(database)]
    assert states == ["waiting", "sent", "sent", "sent"]
    assert rows(database)[0].answer_status == status


@on_sqlite
def test_a_name_that_answers_differently_later_leads_nowhere(database: Database) -> None:
    answers = ["1.1.1.1", "127.0.0.1"]
    with Receiver() as receiver:
        new = channels.NewChannel(
            name="berbalik", kind="webhook", target=f"https://balik.example.id:{receiver.port}/"
        )
        checked = channels.check(new, settings=Settings(), resolve=lambda _h, _p: [answers.pop(0)])
        with database.write() as session:
            channel, _ = channels.add(session, checked, account=None, now=NOW, actor="ani")
            outbox.enqueue(session, channel, {}, now=NOW)
        used = {"webhook": Webhook(Allowed(), resolve=lambda _h, _p: [answers.pop(0)])}
        drain(database, carriers=used)
    (row,) = rows(database)
    assert (row.state, row.last_error) == ("waiting", "target-private")
    assert receiver.got == []
    assert answers == []


@on_sqlite
def test_a_fault_of_our_own_stops_one_message_alone(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url)
        with database.write() as session:
            outbox.enqueue(session, channel, {"text": "\ud800"}, now=NOW)
            outbox.enqueue(session, channel, {"text": "baik"}, now=NOW)
        assert drain(database) == 2
    bad, good = rows(database)
    assert (bad.state, bad.last_error, good.state) == ("waiting", "unforeseen", "sent")


@on_sqlite
def test_a_kind_that_the_settings_lack_is_said_and_waits(database: Database) -> None:
    channel = make_channel(database, "-100123", kind="telegram", secret=None)
    put(database, channel)
    drain(database)
    assert rows(database)[0].last_error == "not-set-up"


def test_every_error_has_its_words() -> None:
    codes = set(DELIVERY_ERRORS)
    assert {f"target-{reason}" for reason in ("url", "name", "https", "private")} <= codes
    errors = (
        TimeoutError(),
        ConnectionRefusedError(),
        ConnectionResetError(),
        ValueError(),
    )
    assert {client.said_of(error) for error in errors} <= codes
    assert {code for _, code in telegram._CODES} <= codes


@on_sqlite
def test_tries_are_counted_by_kind_and_outcome(database: Database) -> None:
    metrics = Metrics()
    with Receiver() as receiver:
        put(database, make_channel(database, receiver.url), 2)
        put(database, make_channel(database, f"http://127.0.0.1:{closed_port()}/", "dua"))
        drain(database, on_tried=metrics.delivered)
    said = metrics.exposition().decode()
    assert 'lilin_deliveries_total{kind="webhook",outcome="sent"} 2.0' in said
    assert 'lilin_deliveries_total{kind="webhook",outcome="failed"} 1.0' in said


# --- digests and quiet hours ------------------------------------------------------------------------


def test_a_digest_tells_the_alerts_of_an_hour_together(database: Database) -> None:
    full = NOW.replace(hour=4, minute=0)
    with Receiver(lambda _: Reply(status=500)) as receiver:
        channel = make_channel(database, receiver.url, digest="hourly")
        put(database, channel, 3)
        put(database, channel, 2, now=NOW + HOUR / 4)
        put(database, channel, 1, now=full + HOUR / 4)
        put(database, channel, kind="test")
        drain(database, full - HOUR / 60)
        assert [row.kind for row in rows(database) if row.attempts] == ["test"]
        drain(database, full)
        receiver.reply = lambda _: Reply()
        drain(database, full + HOUR / 2)
        drain(database, full + HOUR)  # one alert alone goes out as it is
    assert json.loads(receiver.got[-1].body)["kind"] == "alert"
    digests = [got for got in receiver.got if json.loads(got.body)["kind"] == "digest"]
    assert len({got.headers["idempotency-key"] for got in digests}) == 1
    body = json.loads(digests[-1].body)
    assert [alert["nomor"] for alert in body["alerts"]] == [0, 1, 2, 0, 1]
    said = list(plain(Message.of(body)))
    assert said[0] == "Ringkasan: 5 peringatan"
    assert said.count(MESSAGE.title) == 5
    (digest,) = rows(database, kind="digest")
    states = {row.state for row in rows(database, bundle_id=digest.id)}
    assert (digest.state, states) == ("sent", {"sent"})
    assert {row.state for row in rows(database)} == {"sent"}


def test_a_digest_that_was_given_up_comes_back_with_its_alerts(database: Database) -> None:
    with Receiver(lambda _: Reply(status=410)) as receiver:
        channel = make_channel(database, receiver.url, digest="daily")
        alerts = put(database, channel, 3)
        morning = datetime(2026, 11, 26, 0, 0, tzinfo=UTC)
        drain(database, morning)
        assert {row.state for row in rows(database)} == {"dead"}
        receiver.reply = lambda _: Reply()
        with database.write() as session:
            channels.set_active(session, session.get_one(Channel, 1), True, actor="ani")
            digest = outbox.resend(session, alerts[1].id, now=morning, actor="ani")
        assert digest.kind == "digest"
        assert {row.state for row in rows(database, kind="alert")} == {"bundled"}
        drain(database, morning)
    assert {row.state for row in rows(database)} == {"sent"}
    assert len(set(receiver.keys)) == 1


def test_quiet_hours_hold_alerts_back_but_not_tests(database: Database) -> None:
    night = datetime(2026, 11, 25, 16, 30, tzinfo=UTC)  # 23.30 WIB
    dawn = datetime(2026, 11, 25, 23, 0, tzinfo=UTC)  # 06.00 WIB
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url, quiet_from=22, quiet_to=6)
        put(database, channel, 2, now=night)
        put(database, channel, 1, now=night - HOUR * 2)  # due before, but nobody sent it
        put(database, channel, 1, now=night, kind="test")
        drain(database, night)
        assert [json.loads(got.body)["kind"] for got in receiver.got] == ["test"]
        assert drain(database, dawn - HOUR / 60) == 0
        assert drain(database, dawn) == 3


def test_what_waits_follows_the_channels_new_habits(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url, digest="daily")
        put(database, channel, 2)
        settings = Settings(webhook_hosts="127.0.0.1")
        new = channels.NewChannel(name="satu", kind="webhook", target="")
        checked = channels.check(new, settings=settings, before=channel)
        with database.write() as session:
            row = channels.get_channel(session, channel.id)
            channels.change(session, row, checked, now=NOW, actor="ani")
        assert drain(database) == 2


aware = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(  # noqa: DTZ001 - made so here
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(aware, st.integers(0, 23), st.integers(0, 23))
def test_the_end_of_quiet_hours_is_the_first_moment_that_is_not_quiet(
    at: datetime, begin: int, end: int
) -> None:
    def quiet(moment: datetime) -> bool:
        hour = moment.astimezone(WIB).hour
        return begin <= hour < end if begin <= end else hour >= begin or hour < end

    found = timing.quiet_end(at, begin, end)
    assert not quiet(found)
    assert quiet(at) == (found > at)
    if found > at:
        assert (found.minute, found.second, found.microsecond) == (0, 0, 0)
        assert quiet(found - timedelta(microseconds=1))
        assert found - at <= DAY
    assert timing.quiet_end(at, None, None) == at


@given(aware)
def test_a_digest_goes_out_at_the_next_full_hour_or_morning(at: datetime) -> None:
    hourly = timing.digest_time(at, "hourly").astimezone(WIB)
    daily = timing.digest_time(at, "daily").astimezone(WIB)
    assert timedelta() <= hourly - at < HOUR
    assert (hourly.minute, hourly.second, hourly.microsecond) == (0, 0, 0)
    assert timedelta() <= daily - at < DAY
    assert (daily.hour, daily.minute, daily.second, daily.microsecond) == (7, 0, 0, 0)
    assert timing.digest_time(at, "") == at


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_to_the_longest_and_are_scattered_by_half(tries: int, dice: float) -> None:
    pause, full = timing.next_pause(tries, dice), timing.next_pause(tries, 0)
    assert full / 2 <= pause <= full <= timing.LONGEST_PAUSE
    assert timing.next_pause(1, 0) == timing.FIRST_PAUSE
    assert full <= timing.next_pause(tries + 1, 0)


def test_a_sender_tells_of_a_database_that_is_away_and_goes_on(tmp_path: Any) -> None:
    said = io.StringIO()
    logs.setup("info", said)
    database = Database(f"sqlite:///{tmp_path}/kosong.db")  # without tables: nothing can be taken
    sender = Sender(database, carriers(), poll_s=0)
    thread = threading.Thread(target=sender.run)
    thread.start()
    while "sender waited for the database" not in said.getvalue():
        assert thread.is_alive()
    sender.stopping.set()
    thread.join()
    database.close()
