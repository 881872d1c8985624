"""What a narrative is called: the most central sentence of its own posts, and its keywords."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np

from models.likeness import Space, words_of
from models.text import normalise
from pipeline.pii import mask

LONGEST: Final = 160
"""Characters of a title; a longer sentence is cut at a word."""
TELLING: Final = 25
"""Characters from which a first sentence will do as a title."""
MOST_TEXTS: Final = 40
"""Texts that a title is chosen from: the first ones and the latest."""
_SENTENCES_PER_TEXT: Final = 6
_CHARACTERS_PER_TEXT: Final = 1_000
_LINK: Final = re.compile(
    r"https?://\S+|www\.\S+|\b[a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9-]{2,63}){1,4}/\S*", re.IGNORECASE
)
_MENTION: Final = re.compile(r"(?<!\w)@[\w.]+")
_SPACE: Final = re.compile(r"\s+")
_END: Final = re.compile(r"(?<=[.!?…])\s+|\n+")
_FORWARDED: Final = re.compile(r"^(?:\W*(?:fwd?|fw|rt|forwarded|diteruskan)\b\W*)+", re.IGNORECASE)
_EDGES: Final = " -–—•*#>|→:"
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
    shared: Counter[int] = Counter()
    parts: list[list[tuple[str, list[int]]]] = []
    for text in texts[:MOST_TEXTS]:
        sentences = [(s, list(dict.fromkeys(words_of(normalise(s))))) for s in _sentences(text)]
        parts.append(sentences)
        shared.update({word for _, words in sentences for word in words})
    best, chosen, index = 0.0, "", -1
    for number, sentences in enumerate(parts):
        for sentence, words in sentences:
            if not words:
                continue
            weights = space.weights(np.array(words, np.uint32))
            counts = np.array([shared[word] for word in words], np.float32)
            central = float((weights * counts).sum()) / len(words) ** 0.5
            if central > best:
                best, chosen, index = central, sentence, number
    return chosen, index


def keywords_of(texts: Sequence[str], space: Space, *, most: int = 6) -> list[str]:
    """Return the words that the texts share most, weighed by rarity, as they are written most."""
    forms: dict[int, Counter[str]] = {}
    for text in texts[:MOST_TEXTS]:
        seen: set[int] = set()
        for word in _WORD.findall(_LINK.sub(" ", normalise(text[:_CHARACTERS_PER_TEXT]))):
            for number in words_of(word)[:1]:
                if number not in seen:
                    seen.add(number)
                    forms.setdefault(number, Counter())[word] += 1
    if not forms:
        return []
    numbers = list(forms)
    weights = space.weights(np.array(numbers, np.uint32))
    scored = [
        (-float(w) * sum(forms[n].values()), forms[n].most_common(1)[0][0])
        for n, w in zip(numbers, weights, strict=True)
        if w >= _TOO_COMMON
    ]
    return [word for _, word in sorted(scored)[:most]]


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences with words, masked, one by one: masking costs most."""
    parts = (
        _FORWARDED.sub("", part.strip(_EDGES)).strip(_EDGES) for part in _END.split(_plain(text))
    )
    with_words = (part for part in parts if any(c.isalpha() for c in part))
    for part in islice(with_words, _SENTENCES_PER_TEXT):
        yield _cut(mask(part[: 4 * LONGEST]))


def _plain(text: str) -> str:
    return _MENTION.sub("", _LINK.sub("", text[:_CHARACTERS_PER_TEXT])).strip()


def _cut(sentence: str) -> str:
    sentence = _SPACE.sub(" ", sentence)
    if len(sentence) <= LONGEST:
        return sentence
    return sentence[: LONGEST - 1].rsplit(" ", 1)[0] + "…"
