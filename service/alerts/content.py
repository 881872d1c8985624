"""What an alert says: one plain structure for every channel and for the page, masked.

Field names are English, what people read is Indonesian. Everything in it leaves the desk, so that
nothing stands in it that a caller without ``Right.SEE_PRIVATE`` may not see; and nobody is scored
in it: accounts are a number, signs are signs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from pipeline.pii import printable
from pipeline.spread import Forecast, Reason, Sign, Spread, Staged
from service.alerts import prose
from service.alerts.links import shareable
from service.alerts.message import Line, Message, Section
from service.clarifications.nearest import Nearest
from service.pages import spread_words, words
from service.tables import Narrative, StoredPost

VERSION: Final = 1
"""Goes up when a field's meaning changes; new fields may come at any time."""
CAME_BACK: Final = timedelta(hours=48)
"""For so long after a narrative came back its alerts say so."""
REVIVED: Final = "revived"
POSTS: Final = 5
LOOKED_AT: Final = 500
"""Newest posts among which the most seen ones are sought; a narrative may have a million."""
TEXT_CHARS: Final = 280
TITLE_CHARS: Final = 200
_NAME_CHARS: Final = 80


FindNearest = Callable[[Session, StoredPost], Nearest | None]
"""``Clarifications.nearest_to``: the clarification nearest to what a post claims."""


def none_known(_session: Session, _post: StoredPost) -> Nearest | None:
    """Return no clarification: for who has none."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPost:
    """A post as it leaves the desk; ``link`` is the desk's own page, which holds the whole one."""

    id: int
    text: str
    platform: str
    at: str
    reach: int
    label: str
    technique: str | None
    url: str | None
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarification:
    """The nearest that is known already about the claim."""

    title: str
    url: str | None
    publisher: str
    likeness: float
    published_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A code with its sentence: a reason or a sign."""

    code: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that an alert says; times are ISO 8601 in UTC."""

    version: int
    alert: int
    level: str
    """The stage that the alert is about: obor or api."""
    watch_list: str
    at: str
    title: str
    summary: str
    why: tuple[Said, ...]
    stage: str
    stage_since: str
    forecast: dict[str, float]
    """hours, low, mid, high (further posts, 80 % interval), catches (chance of leaving lilin)."""
    forecast_said: str
    signs: tuple[Said, ...]
    posts: int
    accounts: int
    reach: int
    platforms: dict[str, int]
    sources: tuple[str, ...]
    newest: tuple[ShownPost, ...]
    most_seen: tuple[ShownPost, ...]
    keywords: tuple[str, ...]
    techniques: dict[str, int]
    clarification: Clarification | None
    narrative: int
    narrative_link: str
    link: str
    draft: str
    note: str

    def as_payload(self) -> dict[str, Any]:
        """Return it as it stands in the outbox, with the ``message`` that channels dress."""
        return asdict(self) | {"message": message_of(self).as_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known when an alert is raised, its posts apart."""

    alert: int
    kind: str
    watch_list: str
    narrative: Narrative
    spread: Spread
    staged: Staged
    base_url: str
    nearest: FindNearest


def _reasons(known: Known, now: datetime) -> tuple[Reason, ...]:
    """Return why it is told now; that it came back too, though it may not be this minute."""
    reasons, woke_at = known.staged.reasons, known.narrative.woke_at
    if woke_at is None or now - woke_at > CAME_BACK or any(r.code == REVIVED for r in reasons):
        return reasons
    numbers = {"posts_last_day": float(known.spread.posts_last_day)}
    return (*reasons, Reason(code=REVIVED, numbers=numbers))


def content_of(session: Session, known: Known, *, now: datetime) -> Content:
    """Return what an alert says now."""
    narrative, spread = known.narrative, known.spread
    latest = list(
        session.scalars(
            select(StoredPost)
            .where(StoredPost.narrative_id == narrative.id)
            .order_by(StoredPost.event_at.desc(), StoredPost.id.desc())
            .limit(LOOKED_AT)
            .options(defer(StoredPost.embedding))
        )
    )
    base = known.base_url.rstrip("/")
    title = title_of(narrative)
    clarification = _clarification(session, known, latest)
    techniques = Counter(post.technique for post in latest if post.technique)
    return Content(
        version=VERSION,
        alert=known.alert,
        level=known.kind,
        watch_list=printable(known.watch_list, width=_NAME_CHARS),
        at=now.isoformat(),
        title=title,
        summary=prose.summary(known.kind, spread),
        why=_said(_reasons(known, now), spread_words.reason),
        stage=known.staged.stage.value,
        stage_since=known.staged.since.isoformat(),
        forecast=_forecast(spread.forecast),
        forecast_said=prose.forecast(spread.forecast),
        signs=_said(spread.signs, spread_words.sign),
        posts=narrative.posts,
        accounts=narrative.accounts,
        reach=narrative.reach,
        platforms={_name(name): count for name, count in _largest(narrative.platforms)},
        sources=tuple(dict.fromkeys(_name(post.source) for post in latest))[:10],
        newest=tuple(_shown(post, base) for post in latest[:POSTS]),
        most_seen=tuple(_shown(p, base) for p in sorted(latest, key=_reach)[:POSTS]),
        keywords=tuple(_name(word) for word in narrative.keywords[:12]),
        techniques=dict(_largest(techniques)),
        clarification=clarification,
        narrative=narrative.id,
        narrative_link=f"{base}/narasi/{narrative.id}",
        link=f"{base}/peringatan/{known.alert}",
        draft=prose.draft(
            title,
            [words.PLATFORMS.get(name, name) for name, _ in _largest(narrative.platforms)],
            clarification.title if clarification else None,
            clarification.url if clarification else None,
        ),
        note=prose.NOTE,
    )


def title_of(narrative: Narrative) -> str:
    """Return a narrative's title as it may leave the desk."""
    return printable(narrative.title, width=TITLE_CHARS) or f"Narasi {narrative.id}"


def message_of(content: Content) -> Message:
    """Return the alert as people read it on a channel."""
    sections = [
        Section(heading="Mengapa sekarang", lines=_lines([r.said for r in content.why])),
        Section(heading="Perkiraan", lines=_lines([content.forecast_said])),
        Section(heading="Sumber", lines=_lines([sources_said(content)])),
        Section(heading="Tanda penyebaran", lines=_lines([s.said for s in content.signs])),
        Section(heading="Kiriman terbaru", lines=_post_lines(content.newest)),
        Section(heading="Kiriman yang paling banyak dilihat", lines=_post_lines(content.most_seen)),
        Section(heading="Klarifikasi terdekat", lines=_clarified(content.clarification)),
        Section(
            heading="Kata kunci",
            lines=_lines([", ".join(content.keywords)] if content.keywords else []),
        ),
        Section(heading="Catatan", lines=_lines([content.note])),
    ]
    return Message(
        title=f"{_heading(content)}: {content.title}",
        summary=content.summary,
        sections=tuple(section for section in sections if section.lines),
        link=content.link if content.link.startswith("http") else None,
    )


def _heading(content: Content) -> str:
    """Return the stage that was entered, or the one that a narrative is on its way to."""
    said = words.STAGES[content.level]
    return said if content.stage == content.level else f"Menuju {said.lower()}"


def sources_said(content: Content) -> str:
    """Return where it was seen, in a sentence."""
    platforms = ", ".join(
        f"{words.PLATFORMS.get(name, name)} {words.number(count)}"
        for name, count in content.platforms.items()
    )
    return (
        f"{words.number(content.posts)} kiriman dari {words.number(content.accounts)} akun"
        f" ({platforms}); perkiraan jangkauan {words.number(content.reach)} orang"
    )


# --- within ------------------------------------------------------------------------------------


def _shown(post: StoredPost, base: str) -> ShownPost:
    return ShownPost(
        id=post.id,
        text=printable(post.text, width=TEXT_CHARS) or "(tanpa kata)",
        platform=_name(post.platform),
        at=(post.event_at or post.posted_at or post.received_at).isoformat(),
        reach=post.reach,
        label=post.label,
        technique=post.technique,
        url=shareable(post.url),
        link=f"{base}/kiriman/{post.id}",
    )


def _clarification(
    session: Session, known: Known, latest: Sequence[StoredPost]
) -> Clarification | None:
    """Return the clarification nearest to the post that gave the narrative its title."""
    wanted = known.narrative.title_post_id
    post = next((p for p in latest if p.id == wanted), latest[-1] if latest else None)
    found = None if post is None else known.nearest(session, post)
    if found is None:
        return None
    return Clarification(
        title=printable(found.title, width=TITLE_CHARS),
        url=shareable(found.url),
        publisher=printable(found.publisher, width=_NAME_CHARS),
        likeness=round(found.likeness, 3),
        published_at=found.published_at.isoformat() if found.published_at else None,
    )


def _forecast(forecast: Forecast) -> dict[str, float]:
    names = ("hours", "low", "mid", "high", "catches")
    return {name: round(float(getattr(forecast, name)), 3) for name in names}


def _said(
    codes: Sequence[Reason | Sign], say: Callable[[str, Mapping[str, float]], str]
) -> tuple[Said, ...]:
    """Return reasons or signs with their sentences; what has no words is left out."""
    return tuple(
        Said(code=one.code, said=f"{said[0].upper()}{said[1:]}")
        for one in codes
        if (said := say(one.code, one.numbers))
    )


def _name(text: str) -> str:
    return printable(text, width=_NAME_CHARS)


def _largest(counts: dict[str, int] | Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:10]


def _reach(post: StoredPost) -> tuple[int, int]:
    return -post.reach, -post.id


def _lines(texts: Sequence[str]) -> tuple[Line, ...]:
    return tuple(Line(text=text) for text in texts)


def _post_lines(posts: Sequence[ShownPost]) -> tuple[Line, ...]:
    return tuple(
        Line(
            text=f"“{post.text}” · {words.PLATFORMS.get(post.platform, post.platform)}, "
            f"{words.clock(datetime.fromisoformat(post.at))} WIB, "
            f"jangkauan {words.number(post.reach)}",
            url=post.url or (post.link if post.link.startswith("http") else None),
        )
        for post in posts
    )


def _clarified(known: Clarification | None) -> tuple[Line, ...]:
    if known is None:
        return ()
    said = f"{known.title} ({known.publisher}; kemiripan {words.percent(known.likeness)})"
    return (Line(text=said, url=known.url),)
