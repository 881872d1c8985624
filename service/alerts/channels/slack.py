"""An incoming webhook of Slack, or of what speaks like it (Mattermost, Rocket.Chat).

Limits are Slack's: 50 blocks, 150 characters of a header, 3000 of a section. Its URL is its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import orjson

from service.alerts.channels.outcome import Outcome
from service.alerts.channels.webhook import Webhook
from service.alerts.message import Message, Section, short
from service.pages import alert_words
from service.tables import Channel, Delivery

_BLOCKS: Final = 48
_HEADER: Final = 150
_SECTION: Final = 3000
_CODES: Final = (
    *(("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")),
    *(("@", "@\u200b"), ("](", "]\u200b(")),  # @channel and links as Mattermost reads them
)


class Slack:
    """Sends blocks, and the gist as text for what knows no blocks."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def send(self, channel: Channel, delivery: Delivery, *, now: datetime) -> Outcome:
        """Try once to send a delivery."""
        body = orjson.dumps(dressed(Message.of(delivery.payload), delivery.key))
        return self._webhook.post(channel.target.get_secret_value(), body, {}, now)


def dressed(message: Message, key: str) -> dict[str, Any]:
    """Return a message as Slack takes it; ``text`` stands where blocks do not."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": short(message.title, _HEADER)}}
    ]
    blocks += [_block(text) for text in _texts(message)][: _BLOCKS - 1]
    note = alert_words.DELIVERY_NOTE.format(key=key)
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": note}]})
    text = escape(short(": ".join(filter(None, (message.title, message.summary))), _SECTION // 5))
    if message.link:
        text += f" {_linked(message.link, alert_words.OPEN_IN_LILIN)}"
    return {"text": text, "blocks": blocks}


def escape(text: str) -> str:
    """Return a text in which nothing is a mention or a link, for Slack and its likes."""
    for sign, code in _CODES:
        text = text.replace(sign, code)
    return text


def _block(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _texts(message: Message) -> Iterator[str]:
    """Yield pieces that fit into a section each, cut between lines."""
    if message.summary:
        yield escape(short(message.summary, _SECTION // 5))
    for section in message.sections:
        yield from _pieces(section)
    if message.link:
        yield _linked(message.link, alert_words.OPEN_IN_LILIN)


def _pieces(section: Section) -> Iterator[str]:
    piece = f"*{escape(short(section.heading, 200))}*" if section.heading else ""
    for line in section.lines:
        # Escaping makes five characters of one at most.
        text = f"• {escape(short(line.text, 300))}"
        if line.url and len(line.url) <= _SECTION // 6:
            text += f" {_linked(line.url, alert_words.SOURCE)}"
        if len(piece) + 1 + len(text) > _SECTION:
            yield piece
            piece = text
        else:
            piece = f"{piece}\n{text}" if piece else text
    if piece:
        yield piece


def _linked(url: str, text: str) -> str:
    return f"<{url.replace('&', '&amp;')}|{text}>"
