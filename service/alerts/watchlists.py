"""What an agency watches for, and whether a narrative is of it. Knows no database.

Within one criterion any of its values will do; between criteria all must hold; an empty one asks
nothing. Words are compared as the model reads them (``models.text.normalise``: case, accents,
look-alike letters, spaced and leet spelling folded), as whole words or phrases; hashtags exactly.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from models.text import normalise
from service.alerts.places import aliases_of

TEXTS: Final = 50
"""A narrative is known by its newest texts, not by its whole history."""
READ_CHARS: Final = 2000
"""Of each text its beginning: a chain message says within so much what it is about."""
SHARE: Final = 0.1
"""So much of a narrative must speak of it: one odd post that strayed in does not decide. Up to ten
posts that is any one of them."""
_TAG: Final = re.compile(r"#(\w{1,100})")
_WORD: Final = re.compile(r"\w+")
_UNFLAGGED: Final = "valid"

LANGUAGES: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(words.split())
    for name, words in {
        "id": "yang dan di ini itu tidak dengan untuk sudah akan bisa karena saja gak nggak enggak "
        "banget aja udah kalau kalo jadi dari ada juga apa kita kami saya anda sebarkan telah",
        "jv": "ora iki kuwi sing karo wis arep opo piye ning nang kowe lan wae seko saka durung "
        "nek yen tenan kabeh wong aku awake mung isih ngono ngene",
        "su": "teu henteu anu jeung ieu eta abdi urang geus mah teh kumaha naon kudu pisan nu euy "
        "maneh sia lamun keur parantos hoyong bade aya",
        "ms": "yang dan di ini itu tidak dengan untuk awak kerajaan boleh bahawa kerana sahaja "
        "korang takde nak dekat ialah kepada adalah tiada cakap sangat macam pakcik",
        "en": "the and is are of to for with this that you not have was will they from what just "
        "your be by on it as",
        "min": "indak ndak nan jo ko ambo awak uda uni lah tu kami nyo dek ka bana urang baa",
        "bug": "magi engka iyaro aga narekko idi tau purai wedding degaga mappa",
    }.items()
}
"""Frequent small words of the languages that can be asked for; a guess by words, no more."""
_SURE: Final = 2
"""Fewer of a language's words say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a watch-list asks of a narrative; everything empty: any narrative."""

    terms: tuple[str, ...] = ()
    """Topics, names, hashtags."""
    regions: tuple[str, ...] = ()
    """Provinces by name or alias, or any other place."""
    languages: tuple[str, ...] = ()
    """Of ``LANGUAGES``; a text whose language is not certain passes."""
    labels: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    minimum_risk: float = 0.0

    @property
    def reads(self) -> bool:
        """Whether the narrative's texts are needed to answer."""
        return bool(self.terms or self.regions or self.languages)

    def admits(self, *, risk: float, platforms: Collection[str], labels: Mapping[str, int]) -> bool:
        """Return whether the narrative's counts fit, whatever its texts say: the cheap half.

        ``labels`` counts posts by the model's label; of those it flagged, a tenth must carry one
        that is asked for.
        """
        if risk < self.minimum_risk or (
            self.platforms and set(self.platforms).isdisjoint(platforms)
        ):
            return False
        if not self.labels:
            return True
        flagged = sum(count for label, count in labels.items() if label != _UNFLAGGED)
        asked = sum(labels.get(label, 0) for label in self.labels)
        return asked > 0 and asked >= SHARE * flagged

    def reads_in(self, texts: Texts) -> bool:
        """Return whether the narrative's texts fit: the other half."""
        return (
            (not self.terms or texts.speak_of(self.terms))
            and (not self.regions or texts.speak_of(aliases_of(self.regions)))
            and (not self.languages or texts.are_in(self.languages))
        )


class Texts:
    """A narrative's newest texts made ready for many watch-lists: folded once, when asked for."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Take the texts, the newest first; what goes beyond ``TEXTS`` is left out."""
        self._texts = Counter(text[:READ_CHARS] for text, _ in zip(texts, range(TEXTS)))  # noqa: B905

    @cached_property
    def _read(self) -> list[tuple[str, frozenset[str], int]]:
        return [(words_of(text), tags_of(text), count) for text, count in self._texts.items()]

    @cached_property
    def _languages(self) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for words, _, count in self._read:
            found[language_of(words)] += count
        return found

    def _enough(self, found: int) -> bool:
        return found >= max(1, math.ceil(SHARE * self._texts.total()))

    def speak_of(self, terms: Collection[str]) -> bool:
        """Return whether enough of the texts hold one of the terms."""
        asked = [part for term in terms for part in (_asked(term),)]
        tags = frozenset[str]().union(*(tags for _, tags in asked))
        phrases = [words for words, _ in asked if words]
        return self._enough(
            sum(
                count
                for words, held, count in self._read
                if not tags.isdisjoint(held) or any(phrase in words for phrase in phrases)
            )
        )

    def are_in(self, languages: Collection[str]) -> bool:
        """Return whether enough of the texts are in one of the languages, or in an unknown one."""
        return self._enough(sum(self._languages[name] for name in (None, *languages)))


@lru_cache(maxsize=4096)
def _asked(term: str) -> tuple[str, frozenset[str]]:
    return ("", tags_of(term)) if term.startswith("#") else (words_of(term), frozenset())


def words_of(text: str) -> str:
    """Return the words of a text as they are compared, with a space before and after each.

    Empty where there are none, as of a link or a handle.
    """
    words = " ".join(_WORD.findall(normalise(text)))
    return f" {words} " if words else ""


def tags_of(text: str) -> frozenset[str]:
    """Return the hashtags of a text, without their sign, in lower case."""
    if "#" not in text and "＃" not in text:
        return frozenset()
    plain = unicodedata.normalize("NFKC", text).casefold()
    seen = "".join(c for c in plain if c.isascii() or unicodedata.category(c) != "Cf")
    return frozenset(_TAG.findall(seen))


def language_of(words: str) -> str | None:
    """Return the language that most of a folded text's small words are of; None: not certain.

    Where two have as many, the first of ``LANGUAGES`` is taken: Indonesian before Malay.
    """
    heard = Counter(words.split())
    counts = {
        name: sum(heard[word] for word in small if word in heard)
        for name, small in LANGUAGES.items()
    }
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] >= _SURE else None


def fits(term: str) -> bool:
    """Return whether a term can be looked for: something is left of it once it is folded."""
    words, tags = _asked(term)
    return bool(words or tags)
