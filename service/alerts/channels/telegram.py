"""A Telegram bot: one message per delivery, by the Bot API's ``sendMessage``.

The API knows no idempotency: a repeated message shows the same delivery number at its end. The
token stands in the URL, so that no URL and no error of the client is ever told on.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from http import HTTPStatus
from typing import Any, Final

import orjson
from pydantic import SecretStr

from service.alerts import client, targets
from service.alerts.channels.outcome import Outcome, bounded, of_answer
from service.alerts.channels.webhook import json_headers, loaded
from service.alerts.message import Message, short
from service.errors import BadTarget
from service.pages import alert_words
from service.tables import Channel, Delivery

LIMIT: Final = 4096
"""Of a message's text, in UTF-16 units; the Bot API counts it without markup, here it counts."""
_LINE: Final = 500
_CODES: Final = (
    ("chat not found", "telegram-chat"),
    ("blocked by the user", "telegram-chat"),
    ("kicked from", "telegram-chat"),
    ("not enough rights", "telegram-chat"),
)


class Telegram:
    """Sends to a chat or a channel in which the bot may write."""

    def __init__(self, token: SecretStr, api: str, *, total_s: float = client.TOTAL_S) -> None:
        """``api`` is the Bot API's address: the setting is the administrator's, so it is allowed."""
        self._token = token
        self._api = api.rstrip("/")
        self._total_s = total_s
        self._allowed = targets.only(self._api)

    def send(self, channel: Channel, delivery: Delivery, *, now: datetime) -> Outcome:
        """Try once to send a delivery."""
        body = orjson.dumps(
            {
                "chat_id": channel.target.get_secret_value(),
                "text": dressed(Message.of(delivery.payload), delivery.key),
                "parse_mode": "HTML",
                "link_preview_options": {"is_disabled": True},
            }
        )
        url = f"{self._api}/bot{self._token.get_secret_value()}/sendMessage"
        try:
            target = targets.check(url, self._allowed)
            answer = client.post(target, body, json_headers({}), total_s=self._total_s)
        except BadTarget as error:
            return Outcome(error=f"target-{error.reason}")
        except client.Unreached as error:
            return Outcome(error=error.code)
        return _outcome(answer, now)


def _outcome(answer: client.Answer, now: datetime) -> Outcome:
    said = loaded(answer.body)
    if answer.status == HTTPStatus.OK:
        ok = said.get("ok") is True
        return Outcome(error=None if ok else "garbage", status=answer.status)
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
        return Outcome(error="telegram-token", status=answer.status)
    description = str(said.get("description", "")).lower()
    for words_of, code in _CODES:
        if words_of in description:
            return Outcome(error=code, status=answer.status)
    if answer.status == HTTPStatus.GONE:  # the Bot API says no such thing; a channel stays
        return Outcome(error="status", status=answer.status)
    parameters: Any = said.get("parameters")
    asked = parameters.get("retry_after") if isinstance(parameters, dict) else None
    found = of_answer(answer, now)
    return Outcome(
        error=found.error,
        status=found.status,
        wait=bounded(asked) or found.wait,
        only_this=found.only_this,
    )


def dressed(message: Message, key: str) -> str:
    """Return a message as Telegram's HTML, whole lines up to the limit."""
    end = [f"<i>{escape(alert_words.DELIVERY_NOTE.format(key=key))}</i>"]
    if message.link and len(message.link) <= _LINE:
        end.insert(0, _linked(alert_words.OPEN_IN_LILIN, message.link))
    lines = [f"<b>{_cut(message.title)}</b>"]
    if message.summary:
        lines.append(_cut(message.summary, 2 * _LINE))
    for section in message.sections:
        lines += ["", f"<b>{_cut(section.heading)}</b>"] if section.heading else [""]
        for line in section.lines:
            source = f" {_linked(alert_words.SOURCE, line.url)}" if line.url else ""
            lines.append(f"• {_cut(line.text)}{source}")
    room = LIMIT - sum(_units(text) + 1 for text in ("", "…", *end))
    kept: list[str] = []
    for text in lines:
        room -= _units(text) + 1
        if room < 0:
            kept.append("…")
            break
        kept.append(text)
    return "\n".join([*kept, "", *end])


def _cut(text: str, limit: int = _LINE) -> str:
    return escape(short(text, limit), quote=False)


def _linked(text: str, url: str) -> str:
    return f'<a href="{escape(url)}">{escape(text)}</a>'


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2
