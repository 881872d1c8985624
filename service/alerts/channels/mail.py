"""E-mail by SMTP: plain text, and the same as plain HTML.

``Message-ID`` is made of the delivery's key, so that a repeated message is the same message.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from html import escape
from typing import Final

from pydantic import SecretStr

from service.alerts.channels.outcome import Outcome
from service.alerts.client import Deadline, trust
from service.alerts.message import Message, one_line, plain, short
from service.pages import alert_words
from service.tables import Channel, Delivery

TOTAL_S: Final = 30.0
"""For one message, from connection to acceptance; servers that think about mail take their time."""
_SUBJECT: Final = 150
_REFUSED_FOR_GOOD: Final = (552, 554)
"""The message is too large, or not liked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The SMTP server of the settings."""

    host: str
    port: int
    tls: str
    """starttls, tls or none."""
    sender: str
    user: str = ""
    password: SecretStr = field(default=SecretStr(""))


class Mail:
    """Sends to one address; a list of people is the mail server's to keep."""

    def __init__(self, server: Server, *, total_s: float = TOTAL_S) -> None:
        self._server = server
        self._total_s = total_s

    def send(self, channel: Channel, delivery: Delivery, *, now: datetime) -> Outcome:
        """Try once to send a delivery."""
        mail = dressed(
            Message.of(delivery.payload),
            delivery.key,
            sender=self._server.sender,
            to=channel.target.get_secret_value(),
            now=now,
        )
        with Deadline(self._total_s) as deadline:
            try:
                smtp = self._open(deadline)
                with closing(smtp):
                    smtp.send_message(mail)
                    with suppress(OSError):  # it is taken, whatever becomes of the farewell
                        smtp.quit()
            except smtplib.SMTPAuthenticationError as error:
                return Outcome(error="mail-login", status=error.smtp_code)
            except smtplib.SMTPRecipientsRefused as error:
                (status, _), *_ = error.recipients.values()
                return Outcome(error="mail-address", status=status)
            except smtplib.SMTPSenderRefused as error:
                return Outcome(error="mail-sender", status=error.smtp_code)
            except smtplib.SMTPNotSupportedError:
                return Outcome(error="mail-tls")
            except smtplib.SMTPResponseException as error:
                good = error.smtp_code in _REFUSED_FOR_GOOD
                return Outcome(error="status", status=error.smtp_code, only_this=good)
            except (OSError, ValueError) as error:  # SMTPException is an OSError
                return Outcome(error=deadline.said_of(error))
        return Outcome(status=250)

    def _open(self, deadline: Deadline) -> smtplib.SMTP:
        server = self._server
        smtp = (
            smtplib.SMTP_SSL(server.host, server.port, timeout=self._total_s, context=trust())
            if server.tls == "tls"
            else smtplib.SMTP(server.host, server.port, timeout=self._total_s)
        )
        try:
            deadline.watch(smtp.sock)
            if server.tls == "starttls":
                smtp.starttls(context=trust())
                deadline.watch(smtp.sock)
            if server.user:
                smtp.login(server.user, server.password.get_secret_value())
        except BaseException:
            smtp.close()
            raise
        return smtp


def dressed(message: Message, key: str, *, sender: str, to: str, now: datetime) -> EmailMessage:
    """Return a message as mail."""
    mail = EmailMessage()
    mail["From"] = Address("Lilin", addr_spec=sender)
    mail["To"] = Address(addr_spec=to)
    mail["Subject"] = one_line(short(message.title, _SUBJECT))
    mail["Date"] = now
    mail["Message-ID"] = f"<{key}@{sender.rpartition('@')[2]}>"
    mail["X-Lilin-Delivery"] = key
    mail["Auto-Submitted"] = "auto-generated"
    note = alert_words.DELIVERY_NOTE.format(key=key)
    mail.set_content("\n".join([*plain(message), "", note]) + "\n", cte="quoted-printable")
    mail.add_alternative(
        "\n".join([*_html(message), f"<p><small>{escape(note)}</small></p>"]), "html"
    )
    return mail


def _html(message: Message) -> Iterator[str]:
    yield f"<h1>{escape(message.title)}</h1>"
    if message.summary:
        yield f"<p>{escape(message.summary)}</p>"
    for section in message.sections:
        yield f"<h2>{escape(section.heading)}</h2>"
        yield "<ul>"
        for line in section.lines:
            more = (
                f' <a href="{escape(line.url)}">{escape(alert_words.SOURCE)}</a>'
                if line.url
                else ""
            )
            yield f"<li>{escape(line.text)}{more}</li>"
        yield "</ul>"
    if message.link:
        yield f'<p><a href="{escape(message.link)}">{escape(alert_words.OPEN_IN_LILIN)}</a></p>'
