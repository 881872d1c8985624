"""What people read of an alert, the same on every channel: plain text that each channel dresses.

It travels as ``message`` in the payload of a delivery. Whatever stands in it leaves the desk, so
that who makes it has masked it before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

_BLANKS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_TURNED: Final = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
"""Signs that turn the reading direction: with them a text can pose as another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line, and where it leads."""

    text: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Some lines under a heading."""

    heading: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A title, a few sentences, sections of lines, and the desk's own page about it."""

    title: str
    summary: str = ""
    sections: tuple[Section, ...] = ()
    link: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a payload."""
        return asdict(self)

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Message:
        """Return the message of a payload, one line each; what is not as it should be is left out."""
        found = _mapping(payload.get("message"))
        return cls(
            title=one_line(found.get("title")) or "Lilin",
            summary=one_line(found.get("summary")),
            sections=tuple(
                Section(
                    heading=one_line(section.get("heading")),
                    lines=tuple(
                        Line(text=one_line(line.get("text")), url=web_address(line.get("url")))
                        for line in map(_mapping, _list(section.get("lines")))
                    ),
                )
                for section in map(_mapping, _list(found.get("sections")))
            ),
            link=web_address(found.get("link")),
        )


def plain(message: Message) -> Iterator[str]:
    """Yield the message's lines as plain text, an empty one before each section."""
    yield message.title
    if message.summary:
        yield message.summary
    for section in message.sections:
        yield ""
        yield section.heading
        for line in section.lines:
            yield f"- {line.text}" + (f" <{line.url}>" if line.url else "")
    if message.link:
        yield ""
        yield message.link


def one_line(value: object) -> str:
    """Return a text without line breaks, control signs and turned directions; "" for no text."""
    if not isinstance(value, str):
        return ""
    value = _TURNED.sub("", _BLANKS.sub(" ", value)).strip()
    return value.encode("utf-8", "replace").decode("utf-8")


def web_address(value: object) -> str | None:
    """Return a link that begins with http:// or https:// and holds no blank; None: it is none."""
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s\"<>|]{1,2000}", value):
        return None
    return value


def short(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a text, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
