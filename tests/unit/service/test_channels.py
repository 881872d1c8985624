"""Each channel against a real server of its kind; channels and their secrets; trying it out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_string
from email.message import EmailMessage
from email.policy import default as parsing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from sqlalchemy import select

from service.alerts import outbox, signature
from service.alerts.channels import mail, slack, telegram
from service.alerts.channels import service as channels
from service.alerts.channels.mail import Mail, Server
from service.alerts.channels.telegram import Telegram
from service.alerts.channels.webhook import Webhook
from service.alerts.listen import Listener
from service.alerts.message import Line, Message, Section
from service.database import Database
from service.errors import BadChannel, BadTarget
from service.operations import logs
from service.settings import Settings, shown
from service.tables import AuditRow, Channel, Delivery
from tests.unit.service.receivers import (
    PATIENCE_S,
    Got,
    MailServer,
    Receiver,
    Reply,
    closed_port,
)
from tests.unit.service.sending import (
    DAY,
    HERE,
    HOUR,
    MESSAGE,
    NOW,
    TOKEN,
    drain,
    make_channel,
    on_sqlite,
    put,
    rows,
    the_channel,
)

# --- Slack, Telegram, mail ----------------------------------------------------------------------------

texts = st.text(max_size=700)
links = (
    st.none() | st.just("https://contoh.id/?a=1&b=<x>") | st.just("https://contoh.id/" + "a" * 990)
)
messages = st.builds(
    Message,
    title=texts,
    summary=texts,
    sections=st.lists(
        st.builds(
            Section,
            heading=texts,
            lines=st.lists(st.builds(Line, text=texts, url=links), max_size=12).map(tuple),
        ),
        max_size=12,
    ).map(tuple),
    link=links,
)


class _Tags(HTMLParser):
    """Fails where a tag is not closed or is one that Telegram does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        assert tag in {"a", "b", "i"}
        assert not attrs or (tag == "a" and [name for name, _ in attrs] == ["href"])
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(messages)
def test_whatever_is_told_telegram_gets_whole_tags_within_its_limit(message: Message) -> None:
    text = telegram.dressed(Message.of({"message": message.as_json()}), "k" * 32)
    assert len(text.encode("utf-16-le")) // 2 <= telegram.LIMIT
    assert text.endswith(f"<i>Lilin, pesan {'k' * 32}</i>")
    tags = _Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []


@given(messages)
def test_whatever_is_told_slack_gets_blocks_within_its_limits(message: Message) -> None:
    dressed = slack.dressed(Message.of({"message": message.as_json()}), "k" * 32)
    blocks = dressed["blocks"]
    assert 0 < len(blocks) <= 50
    assert 0 < len(blocks[0]["text"]["text"]) <= 150
    for text in [dressed["text"], *(b["text"]["text"] for b in blocks if b["type"] == "section")]:
        assert 0 < len(text) <= 3000
        bare = re.sub(r"<https?://[^\s<>|]+\|(Buka di Lilin|sumber)>", "", text)
        assert "<" not in bare
        assert ">" not in bare
        assert not re.search(r"@[\w<]", bare)


@given(messages)
def test_whatever_is_told_a_mail_has_its_own_headers_and_no_others(message: Message) -> None:
    found = mail.dressed(
        Message.of({"message": message.as_json()}),
        "k" * 32,
        sender="lilin@dinas.test",
        to="ani@dinas.test",
        now=NOW,
    )
    read = message_from_string(found.as_string(), policy=parsing)
    assert isinstance(read, EmailMessage)
    assert sorted(read.keys()) == sorted(found.keys())
    assert read["To"] == "ani@dinas.test"
    assert read["Message-ID"] == f"<{'k' * 32}@dinas.test>"
    body = read.get_body(("plain",))
    assert body is not None
    assert "k" * 32 in body.get_content()


def test_a_title_with_line_breaks_makes_no_header() -> None:
    bad = Message(title="Obor\r\nBcc: semua@dinas.test\n\nisi")
    found = mail.dressed(bad, "k", sender="a@b.test", to="c@d.test", now=NOW)
    assert found["Bcc"] is None
    assert "\n" not in found["Subject"]


@on_sqlite
def test_slack_gets_text_and_blocks_and_no_key_of_ours(database: Database) -> None:
    with Receiver() as receiver:
        put(database, make_channel(database, receiver.url, kind="slack", secret=None))
        assert drain(database) == 1
    body = json.loads(receiver.got[0].body)
    assert "Bantuan tunai &lt;b&gt;palsu&lt;/b&gt; &amp; tautannya" in body["text"]
    assert {block["type"] for block in body["blocks"]} == {"header", "section", "context"}
    assert "lilin-signature" not in receiver.got[0].headers


class Bot:
    """Telegram's Bot API as far as a sender meets it."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.answers = list(answers)

    def __call__(self, _: Got) -> Reply:
        status, body = self.answers.pop(0) if self.answers else (200, {"ok": True, "result": {}})
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(status=status, body=raw)


def telegram_try(
    database: Database, bot: Bot, now: datetime = NOW, count: int = 1
) -> tuple[Receiver, Delivery, Channel]:
    with Receiver(bot) as receiver:
        channel = make_channel(database, "-100123", kind="telegram", secret=None)
        put(database, channel, count)
        api = Telegram(SecretStr(TOKEN), f"http://127.0.0.1:{receiver.port}/")
        drain(database, now, carriers={"telegram": api})
    return receiver, rows(database)[0], the_channel(database)


@on_sqlite
def test_telegram_gets_one_message_of_html(database: Database) -> None:
    receiver, row, _ = telegram_try(database, Bot())
    (got,) = receiver.got
    body = json.loads(got.body)
    assert got.path == f"/bot{TOKEN}/sendMessage"
    assert (body["chat_id"], body["parse_mode"]) == ("-100123", "HTML")
    assert "Bantuan tunai &lt;b&gt;palsu&lt;/b&gt; &amp; tautannya" in body["text"]
    assert '<a href="https://contoh.id/a?b=1&amp;c=2">sumber</a>' in body["text"]
    assert row.key in body["text"]
    assert row.state == "sent"


@on_sqlite
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {"ok": False, "description": "Unauthorized"}), "telegram-token"),
        ((404, {"ok": False, "description": "Not Found"}), "telegram-token"),
        ((400, {"ok": False, "description": "Bad Request: chat not found"}), "telegram-chat"),
        ((403, {"ok": False, "description": "bot was kicked from the group"}), "telegram-chat"),
        ((400, {"ok": False, "description": "can't parse entities"}), "status"),
        ((200, {"ok": False}), "garbage"),
        ((200, b"<html>"), "garbage"),
        ((200, b"[1]"), "garbage"),
        ((502, b"\xff\x00"), "status"),
        ((410, b"{}"), "status"),
    ],
)
def test_what_telegram_refuses_is_said_and_tried_again(
    database: Database, answer: tuple[int, object], error: str
) -> None:
    _, row, channel = telegram_try(database, Bot(answer))
    assert (row.state, row.last_error, channel.active) == ("waiting", error, True)


@on_sqlite
def test_telegram_tells_in_its_answer_how_long_to_wait(database: Database) -> None:
    slow_down = {"ok": False, "parameters": {"retry_after": 1800}}
    _, row, channel = telegram_try(database, Bot((429, slow_down)), count=3)
    assert row.last_error == "too-many"
    assert channel.retry_at == NOW + timedelta(seconds=1800)


def mail_try(
    database: Database, server: MailServer, *, port: int | None = None, **more: Any
) -> tuple[Delivery, Channel]:
    channel = make_channel(database, "piket@dinas.test", kind="email", secret=None)
    put(database, channel)
    used = Server(
        host="127.0.0.1",
        port=port or server.port,
        sender="lilin@dinas.test",
        **({"tls": "none"} | more),
    )
    drain(database, carriers={"email": Mail(used, total_s=20)})
    return rows(database)[0], the_channel(database)


@on_sqlite
def test_a_mail_arrives_with_the_same_number_on_every_try(database: Database) -> None:
    with MailServer(refuse={".": "451 nanti"}) as server:
        row, _ = mail_try(database, server)
        assert (row.state, row.last_error, row.answer_status) == ("waiting", "status", 451)
        server.refuse = {}
        used = Server(host="127.0.0.1", port=server.port, tls="none", sender="lilin@dinas.test")
        drain(database, NOW + HOUR, carriers={"email": Mail(used)})
    assert rows(database)[0].state == "sent"
    first, second = (message_from_string(text, policy=parsing) for text in server.mails)
    assert first["Message-ID"] == second["Message-ID"] == f"<{row.key}@dinas.test>"
    assert (second["To"], second["From"]) == ("piket@dinas.test", "Lilin <lilin@dinas.test>")
    assert second["Subject"] == MESSAGE.title
    assert isinstance(second, EmailMessage)
    text, html = second.get_body(("plain",)), second.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "12 kiriman dalam 40 menit" in text.get_content()
    assert "<h1>Obor: Bantuan tunai &lt;b&gt;palsu&lt;/b&gt; &amp; tautannya</h1>" in (
        html.get_content()
    )


@on_sqlite
@pytest.mark.parametrize(
    ("refuse", "error", "status"),
    [
        ({"RCPT": "550 tidak dikenal"}, "mail-address", 550),
        ({"MAIL": "553 bukan Anda"}, "mail-sender", 553),
        ({"DATA": "451 penuh"}, "status", 451),
        ({".": "554 ditolak"}, "status", 554),
        ({"AUTH": "535 salah"}, "mail-login", 535),
        ({"EHLO": "421 sibuk", "HELO": "421 sibuk"}, "status", 421),
    ],
)
def test_what_a_mail_server_refuses_is_said(
    database: Database, refuse: dict[str, str], error: str, status: int
) -> None:
    with MailServer(refuse=refuse, extensions=("AUTH PLAIN",)) as server:
        row, _ = mail_try(database, server, user="lilin", password=SecretStr("sandi-surel"))
    assert (row.state, row.last_error, row.answer_status) == ("waiting", error, status)


@on_sqlite
def test_no_password_goes_to_a_mail_server_without_the_tls_that_was_asked_for(
    database: Database,
) -> None:
    with MailServer(extensions=("AUTH PLAIN",)) as server:
        secret = SecretStr("sandi-surel")
        row, _ = mail_try(database, server, tls="starttls", user="lilin", password=secret)
    assert row.last_error == "mail-tls"
    assert (server.logins, server.mails) == ([], [])


@on_sqlite
def test_a_mail_that_was_taken_is_sent_whatever_the_farewell(database: Database) -> None:
    with MailServer(refuse={"QUIT": "500 apa?"}) as server:
        row, _ = mail_try(database, server)
    assert row.state == "sent"


@on_sqlite
def test_a_mail_server_that_is_away_is_said(database: Database) -> None:
    with MailServer() as server:
        row, channel = mail_try(database, server, port=closed_port())
    assert (row.last_error, channel.failures) == ("refused", 1)


# --- channels and their secrets ------------------------------------------------------------------------


def test_no_secret_gets_into_a_log_an_error_or_the_audit_trail(database: Database) -> None:
    said = io.StringIO()
    logs.setup("debug", said)
    key, password = "T0/B0/kunci-slack", "sandi-surel"
    settings = Settings(
        webhook_hosts="127.0.0.0/8",
        telegram_token=SecretStr(TOKEN),
        telegram_api=f"http://127.0.0.1:{closed_port()}",
        smtp_host="127.0.0.1",
        smtp_port=closed_port(),
        smtp_tls="none",
        smtp_from="lilin@dinas.test",
        smtp_user="lilin",
        smtp_password=SecretStr(password),
    )
    secrets: list[str] = [TOKEN, key, password]
    with Receiver(lambda got: Reply(status=500, body=repr(got).encode())) as receiver:
        for kind, target in (
            ("webhook", f"{receiver.url}?token={key}"),
            ("slack", f"http://127.0.0.1:{closed_port()}/services/{key}"),
            ("telegram", "-100123"),
            ("email", "piket@dinas.test"),
        ):
            new = channels.NewChannel(name=kind, kind=kind, target=target)
            checked = channels.check(new, settings=settings)
            with database.write() as session:
                channel, secret = channels.add(session, checked, account=None, now=NOW, actor="ani")
                assert (secret is not None) == (kind == "webhook")
                if secret is not None:
                    secrets += [secret, channels.renew_secret(session, channel, actor="ani")]
                outbox.enqueue(session, channel, {"message": MESSAGE.as_json()}, now=NOW)
            said.write(f"{channel!r} {vars(channel)} {channels.shown(channel)}\n")
        drain(database, carriers=channels.carriers(settings))
    with database.read() as session:
        for row in session.scalars(select(Delivery)):
            assert row.last_error in ("status", "refused")
            said.write(f"{row.last_error} {row.payload}\n")
        for line in session.scalars(select(AuditRow)):
            said.write(f"{line.subject} {line.details}\n")
    said.write(shown(settings))
    logged = said.getvalue()
    assert logged.count("delivery tried") == 4
    assert [secret for secret in secrets if secret in logged] == []


def test_the_secret_of_a_webhook_signs_until_it_is_renewed(database: Database) -> None:
    settings = Settings(webhook_hosts="127.0.0.1")
    with Receiver() as receiver:
        new = channels.NewChannel(name=" tim  siaga ", kind="webhook", target=receiver.url)
        checked = channels.check(new, settings=settings)
        with database.write() as session:
            channel, first = channels.add(session, checked, account=None, now=NOW, actor="ani")
            outbox.enqueue(session, channel, {}, now=NOW)
        drain(database)
        with database.write() as session:
            row = channels.get_channel(session, channel.id)
            second = channels.renew_secret(session, row, actor="ani")
            outbox.enqueue(session, row, {}, now=NOW)
        drain(database)
    assert channel.name == "tim siaga"
    assert first is not None
    for got, good, bad in zip(receiver.got, (first, second), (second, first), strict=True):
        signed = got.headers["lilin-signature"]
        assert signature.holds(signed, got.body, good, now_s=NOW.timestamp())
        assert not signature.holds(signed, got.body, bad, now_s=NOW.timestamp())


@on_sqlite
def test_a_channel_that_will_not_do_is_refused(database: Database) -> None:
    settings = Settings(
        telegram_token=SecretStr(TOKEN), smtp_host="surat.test", smtp_from="lilin@dinas.test"
    )

    def refused(**more: Any) -> type[Exception]:
        values: dict[str, Any] = {"name": "a", "kind": "webhook", "target": "https://1.1.1.1/"}
        with pytest.raises(BadChannel) as caught:
            channels.check(channels.NewChannel(**(values | more)), settings=settings)
        return type(caught.value)

    assert refused(target="https://127.0.0.1/") is BadTarget
    assert refused(kind="slack", target="https://169.254.169.254/x") is BadTarget
    for more in (
        {"name": " \n"},
        {"name": "a" * 81},
        {"kind": "fax"},
        {"digest": "weekly"},
        {"quiet_from": 3},
        {"quiet_from": 3, "quiet_to": 3},
        {"quiet_from": 3, "quiet_to": 24},
        {"quiet_from": -1, "quiet_to": 4},
        {"kind": "email", "target": "bukan surel"},
        {"kind": "email", "target": "a@b.test\r\nBcc: c@d.test"},
        {"kind": "email", "target": "a@b.test, c@d.test"},
        {"kind": "email", "target": "Ani <a@b.test>"},
        {"kind": "telegram", "target": "https://t.me/x"},
        {"kind": "telegram", "target": "12a"},
    ):
        assert refused(**more) is BadChannel
    settings = Settings()
    assert refused(kind="email", target="a@b.test") is BadChannel
    assert refused(kind="telegram", target="@kanal_siaga") is BadChannel
    assert channels.kinds(settings) == ["webhook", "slack"]
    make_channel(database, "https://1.1.1.1/", "satu")
    new = channels.NewChannel(name="satu", kind="webhook", target="https://1.1.1.1/")
    checked = channels.check(new, settings=settings)
    with pytest.raises(BadChannel), database.write() as session:
        channels.add(session, checked, account=None, now=NOW, actor="ani")


@pytest.mark.parametrize(
    "values",
    [
        {"telegram_token": "12/../34"},
        {"telegram_api": "api.telegram.org"},
        {"smtp_host": "surat.test"},
        {"smtp_from": "bukan surel"},
        {"smtp_tls": "ssl"},
        {"smtp_port": 0},
    ],
)
def test_settings_of_channels_that_will_not_do_stop_the_start(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**values)


def test_the_test_button_sends_a_message_at_once(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(
            database, receiver.url, digest="daily", quiet_from=8, quiet_to=18, retry_at=NOW + HOUR
        )
        with database.write() as session:
            row = channels.get_channel(session, channel.id)
            channels.send_test(session, row, now=NOW, actor="ani")
        drain(database)
    body = json.loads(receiver.got[0].body)
    assert body["kind"] == "test"
    assert "10.20 WIB" in body["message"]["summary"]


def test_what_is_old_and_over_is_forgotten_with_its_digest(database: Database) -> None:
    with Receiver() as receiver:
        channel = make_channel(database, receiver.url, digest="hourly")
        put(database, channel, 3)
        drain(database, NOW + HOUR)
        put(database, channel, 2, now=NOW + HOUR)
        put(database, channel, 1, now=NOW + HOUR * 0.9)
    with database.write() as session:
        assert outbox.forget(session, before=NOW + HOUR * 0.95) == 3
    assert [row.state for row in rows(database)] == ["sent", *["waiting"] * 3]
    with database.write() as session:
        assert outbox.forget(session, before=NOW + DAY) == 1


# --- trying it out ------------------------------------------------------------------------------------


@on_sqlite
def test_the_listener_says_each_alert_once_and_only_with_the_right_signature(
    database: Database,
) -> None:
    lines: list[str] = []
    with Listener(0, secret="lilin_s", say=lines.append) as listener:
        make_channel(database, listener.url)
        now = datetime.now(UTC)
        put(database, the_channel(database), 2, now=now)
        drain(database, now)
        assert listener.wait(2, PATIENCE_S)
        with database.write() as session:
            for row in session.scalars(select(Delivery)):
                row.state = "waiting"  # as if nobody had heard the answer
        drain(database, now)
        with database.write() as session:
            session.get_one(Channel, 1).secret = SecretStr("lilin_t")
        put(database, the_channel(database), 1, now=now)
        drain(database, now)
    assert len(listener.received) == 2
    said = "\n".join(lines)
    assert said.count(MESSAGE.title) == 2
    assert said.count("tanda tangan cocok") == 2
    assert said.count("Ulangan pesan") == 2
    assert said.count("Tanda tangan TIDAK cocok") == 1
    assert rows(database)[-1].answer_status == 401


@on_sqlite
def test_the_listener_takes_whatever_comes(database: Database) -> None:
    lines: list[str] = []
    with Listener(0, say=lines.append) as listener:
        target = listener.url
        for body in (b"", b"[]", b"{", b'{"message": 5}', b'{"message": {"title": "\\u001b[31m"}}'):
            found = Webhook(HERE).post(target, body, {"Idempotency-Key": "\x7f" * 3}, NOW)
            assert found.status in (200, 400)
            found = Webhook(HERE).post(target, body, {}, NOW)
            assert found.status in (200, 400)
    assert "\x1b" not in "".join(lines)


def test_the_manuals_check_of_a_signature_does_what_it_says() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", manual, re.MULTILINE | re.DOTALL)
    made: dict[str, Any] = {}
    exec(code, made)
    body, now_s = b'{"kind": "alert"}', int(datetime.now(UTC).timestamp())
    genuine = made["genuine"]
    assert genuine(signature.sign(body, "lilin_s", now_s), body, "lilin_s")
    assert not genuine(signature.sign(body, "lilin_s", now_s), body + b" ", "lilin_s")
    assert not genuine(signature.sign(body, "lilin_s", now_s), body, "lilin_t")
    assert not genuine(signature.sign(body, "lilin_s", now_s - 400), body, "lilin_s")
