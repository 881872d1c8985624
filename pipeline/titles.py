"""What a narrative is called: the most central sentence of its own posts, and its keywords."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import fsum
from typing import Final

import numpy as np

from models.likeness import Space, words_of
from pipeline.pii import mask

LONGEST: Final = 160
"""Characters of a title; a longer sentence is cut at a word."""
TELLING: Final = 25
"""Characters from which a first sentence will do as a title."""
MOST_TEXTS: Final = 16
"""Texts that a title is chosen from: the first ones and the latest."""
_SENTENCES_PER_TEXT: Final = 6
_CHARACTERS_PER_TEXT: Final = 1_000
_LINK: Final = re.compile(
    r"https?://\S+|www\.\S+|\b[a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9-]{2,63}){1,4}/\S*", re.IGNORECASE
)
_MENTION: Final = re.compile(r"(?<!\w)@[\w.]+")
_SPACE: Final = re.compile(r"\s+")
# What ends a sentence, told from its first space: searched twice as fast as from what is before it.
_END: Final = re.compile(r"\s(?:(?<=[.!?…]\s)\s*|(?<=\n)\n*)")
_FORWARDED: Final = re.compile(r"^(?:\W*(?:fwd?|fw|rt|forwarded|diteruskan)\b\W*)+", re.IGNORECASE)
_EDGES: Final = " -–—•*#>|→:"
_SEVEN_DIGITS: Final = re.compile(r"\d(?:\D*\d){6}")
_WORD: Final = re.compile(r"[^\W\d_][\w-]{2,30}")
_TOO_COMMON: Final = 3.0
"""Weight of a word (``models.likeness.Space.weights``) below which it is no keyword."""


def lead_of(text: str) -> str:
    """Return the first sentence of a post that says something; people's numbers are masked.

    A cry or a greeting ("RESMI!!") is passed over where a longer sentence follows.
    """
    longest = ""
    for sentence in _sentences(text):
        if len(sentence) > len(longest):
            longest = sentence
        if len(longest) >= TELLING:
            break
    return longest


def title_of(texts: Sequence[str], space: Space) -> tuple[str, int]:
    """Return the most central sentence of the texts, and the index of its text.

    Central is the sentence whose words, weighed by rarity, most of the texts share (the centroid
    measure of Radev et al., 2004), divided by the root of its length, so that neither a shout nor
    a chain letter wins. ("", -1) where no text has words.
    """
    read = [
        [(s, list(dict.fromkeys(words_of(s.lower())))) for s in _sentences(text)]
        for text in texts[:MOST_TEXTS]
    ]
    shared: Counter[int] = Counter()
    for sentences in read:
        shared.update(set().union(*[words for _, words in sentences]))
    weights = space.weights(np.fromiter(shared, np.uint32, len(shared))).tolist()
    weighed = {w: weight * shared[w] for w, weight in zip(shared, weights, strict=True)}
    best, chosen, index = 0.0, "", -1
    for number, sentences in enumerate(read):
        for sentence, words in sentences:
            if not words:
                continue
            central = fsum([weighed[word] for word in words]) / len(words) ** 0.5
            if central > best:
                best, chosen, index = central, sentence, number
    return chosen, index


def keywords_of(texts: Sequence[str], space: Space, *, most: int = 6) -> list[str]:
    """Return the words that the texts share most, weighed by rarity, as they are written most."""
    forms: Counter[tuple[int, str]] = Counter()
    for text in texts[:MOST_TEXTS]:
        words = _WORD.findall(_plain(text).lower())
        stems = words_of(" ".join([word.partition("-")[0] for word in words]))
        # Backwards, so that of a word's forms in one text the first is kept.
        forms.update(dict(zip(stems[::-1], words[::-1], strict=True)).items())
    written: dict[int, tuple[int, str]] = {}
    shared: Counter[int] = Counter()
    for (number, word), count in forms.items():
        shared[number] += count
        if number not in written or count > written[number][0]:
            written[number] = count, word
    weights = space.weights(np.fromiter(shared, np.uint32, len(shared))).tolist()
    scored = [
        (-weight * count, written[number][1])
        for (number, count), weight in zip(shared.items(), weights, strict=True)
        if weight >= _TOO_COMMON
    ]
    return [word for _, word in sorted(scored)[:most]]


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences with words, masked, one by one: most of the time the first will do."""
    found = 0
    for part in _parts(_plain(text)):
        sentence = part.strip(_EDGES)
        forwarded = _FORWARDED.match(sentence)
        if forwarded:
            sentence = sentence[forwarded.end() :].strip(_EDGES)
        if any(c.isalpha() for c in sentence):
            yield _cut(_masked(sentence[: 4 * LONGEST]))  # not cut before, or half a number is left
            found += 1
            if found == _SENTENCES_PER_TEXT:
                return


def _parts(text: str) -> Iterator[str]:
    begin = 0
    for end in _END.finditer(text):
        yield text[begin : end.start()]
        begin = end.end()
    yield text[begin:]


def _plain(text: str) -> str:
    plain = text[:_CHARACTERS_PER_TEXT]
    if "/" in plain or "www." in plain.lower():
        plain = _LINK.sub("", plain)
    return (_MENTION.sub("", plain) if "@" in plain else plain).strip()


def _masked(sentence: str) -> str:
    """Mask, where there may be anything to mask: no number that is masked is shorter."""
    private = "@" in sentence or "/" in sentence or _SEVEN_DIGITS.search(sentence)
    return mask(sentence) if private or not sentence.isascii() else sentence


def _cut(sentence: str) -> str:
    if "  " in sentence or not sentence.isprintable():  # nor is any space but the plain one
        sentence = _SPACE.sub(" ", sentence)
    if len(sentence) <= LONGEST:
        return sentence
    return sentence[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
