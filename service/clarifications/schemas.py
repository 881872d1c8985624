"""Clarifications as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field

from service.clarifications.reading import MOST, Given, given
from service.clarifications.service import Kept, Outcome
from service.tables import StoredClarification
from service.web import Model

MOST_AT_ONCE = 100


class ClarificationIn(Model):
    """A clarification: `claim` is what is clarified, as it went round."""

    model_config = ConfigDict(str_max_length=MOST["text"])

    title: Annotated[str, Field(min_length=1, max_length=MOST["title"])]
    url: Annotated[str, Field(min_length=1, max_length=MOST["url"], pattern="^https?://")]
    claim: Annotated[str, Field(max_length=MOST["claim"])] = ""
    text: Annotated[str, Field(max_length=MOST["text"])] = ""
    publisher: Annotated[str, Field(max_length=MOST["publisher"])] = ""
    published_at: AwareDatetime | None = None
    rating: Annotated[
        str, Field(max_length=MOST["rating"], description="The publisher's word, e.g. “salah”.")
    ] = ""

    def given(self, now: datetime) -> Given:
        """Return it as the desk keeps it.

        Raises:
            BadField: a field will not do after all.
        """
        fields = self.model_dump(exclude={"published_at"})
        date = self.published_at.isoformat() if self.published_at else ""
        return given({**fields, "published_at": date}, now=now)


class ClarificationsIn(Model):
    """Clarifications to add; those known by URL are changed where they say something else."""

    model_config = ConfigDict(
        str_max_length=MOST["text"],
        json_schema_extra={
            "examples": [
                {
                    "clarifications": [
                        {
                            "title": "Tidak ada potongan rekening untuk makan bergizi",
                            "url": "https://klarifikasi.example.go.id/2026/rekening",
                            "claim": "Rekening orang tua dipotong Rp150.000 per bulan",
                            "publisher": "Humas Kota",
                            "published_at": "2026-03-10T08:00:00+07:00",
                            "rating": "salah",
                        }
                    ]
                }
            ]
        },
    )
    clarifications: Annotated[list[ClarificationIn], Field(min_length=1, max_length=MOST_AT_ONCE)]


class KeptOut(Model):
    """What became of one."""

    id: int
    url: str
    outcome: Outcome

    @classmethod
    def of(cls, kept: Kept) -> KeptOut:
        """Return what is said of it."""
        return cls(id=kept.id, url=kept.url, outcome=kept.outcome)


class KeptsOut(Model):
    """One answer per clarification, in order."""

    clarifications: list[KeptOut]


class ClarificationOut(Model):
    """A clarification."""

    model_config = ConfigDict(str_max_length=None)

    id: int
    title: str
    url: str
    claim: str
    text: str
    publisher: str
    published_at: datetime | None
    rating: str
    added_at: datetime

    @classmethod
    def of(cls, row: StoredClarification) -> ClarificationOut:
        """Return it as it is shown."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ClarificationsOut(Model):
    """A page of clarifications, the latest first; `next` goes into `before`, null at the end."""

    model_config = ConfigDict(str_max_length=None)

    clarifications: list[ClarificationOut]
    next: int | None


class ClarificationsQuery(Model):
    """`q`: words that all stand in the claim or title; it is answered in one page."""

    q: Annotated[str, Field(max_length=200)] = ""
    before: Annotated[int | None, Field(ge=1, lt=2**63)] = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
