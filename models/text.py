"""The text as the model reads it: one normalisation for training and for scoring.

What an author can change for free and what only betrays the source is taken away here: case,
zero-width and look-alike characters, links, mentions, quotation marks, repeated signs. So two
posts that differ in nothing else get the very same score.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

import ftfy

_LOOKALIKES: Final = str.maketrans(
    # Cyrillic, Greek and phonetic letters that read as Latin ones (Unicode TR 39, confusables).
    "аеорсухѕіјԁɡһкмнтвгпԛԝӏαεικνορτυχγηωıɩɑ",
    "aeopcyxsijdghkmhtbrnqwlaeiknoptuxynwiia",
)
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Every run is bounded, so that no post, however built, makes a pattern backtrack without end.
_URL: Final = re.compile(
    r"(?:https?://|www\.)\S+|\b(?:t\.co|bit\.ly|s\.id|wa\.me|t\.me|tinyurl\.com)/\S*"
    r"|\b[a-z0-9][a-z0-9-]{0,62}(?:\.[a-z0-9-]{1,63}){0,4}"
    r"\.(?:com|id|net|org|info|xyz|site|online|co|me|ly|my|top|vip|click)"
    r"(?:/\S*|\b(?=\s|$))",
    re.IGNORECASE,
)
_DOTTED: Final = re.compile(r"\.[^\s.,;:!?)\"']|www\.\S", re.IGNORECASE)
_EMAIL: Final = re.compile(
    r"<email>|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,190}\b", re.IGNORECASE
)
_MENTION: Final = re.compile(r"(?<![\w])@[\w.]*|\[(?:username|user)\]", re.IGNORECASE)
_NUMBER: Final = re.compile(
    r"<(?:telp|num|nik)>|(?<!\w)\+?\d(?:[\s().-]?\d){8,40}(?!\w)", re.IGNORECASE
)
_DIGIT: Final = re.compile(r"\d")
_QUOTES: Final = re.compile("[\"'`´‘’‚‛“”„‟«»‹›＂＇*_~|\\[\\]{}\\\\^]+")
_REPEATED_LETTER: Final = re.compile(r"([^\W\d])\1{2,}")
_REPEATED_SIGN: Final = re.compile(r"([^\w\s])(?:\s*\1)+")
_SPACED_LETTERS: Final = re.compile(r"(?<![^\W_])(?:[^\W\d_][\s.·-]){3,40}[^\W\d_](?![^\W_])")
_LEET_WORD: Final = re.compile(
    r"(?<![^\W_])[a-z]{1,40}(?:[013458]{1,5}[a-z]{1,40}){1,12}(?![^\W_])"
)
_LEET: Final = str.maketrans("013458", "oieasb")
_SPACE_BEFORE: Final = re.compile(r" ([,.;:!?)])")
_ESCAPED_AGAIN: Final = re.compile(r"&(?:(?:amp|#0{0,9}38|#x0{0,9}26);)+", re.IGNORECASE)
_MARK: Final = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)
_MARKS: Final = re.compile(f"({_MARK}{{8}}){_MARK}+")
_SPACE: Final = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Return the text that the tokenizer gets; idempotent but for cosmetic spacing.

    An empty result means that nothing but links, mentions and invisible signs was there. The
    latest answers are kept: who scores a post, stores it and groups it asks for the same text.
    """
    return _normalised(text) if len(text) > _KEPT_LENGTH else _kept(text)


def _normalised(text: str) -> str:
    if not text.isascii() or "&" in text or "\x1b" in text:  # else ftfy finds nothing to mend
        # Without these two, each level of "&amp;amp;…" is a pass, and sorting a tower of accents
        # takes the square of its height.
        text = _MARKS.sub(r"\1", _ESCAPED_AGAIN.sub("&", text))
        text = ftfy.fix_text(text, _FTFY)
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    if not text.isprintable():  # else no space but the plain one, and nothing that controls
        text = _CONTROL.sub(" ", text)
    text = _single_spaced(text)
    # A pattern is tried where what it must contain is there: half the time of a plain post.
    if "//" in text or _DOTTED.search(text):
        text = _URL.sub(" ", text)
    tagged = "<" in text or "[" in text
    if "@" in text or tagged:
        text = _EMAIL.sub(" email ", text)
        text = _MENTION.sub(" ", text)
    digits = _DIGIT.search(text) is not None
    if digits or tagged:
        text = _NUMBER.sub(" 0 ", text)
    text = _plain_script(text.lower())
    text = _single_spaced(_QUOTES.sub(" ", text))
    text = _SPACED_LETTERS.sub(_join_letters, text)
    if digits:
        text = _LEET_WORD.sub(_read_leet, text)
    text = _REPEATED_LETTER.sub(r"\1", text)
    text = _REPEATED_SIGN.sub(r"\1", text)
    text = _SPACE_BEFORE.sub(r"\1", text)
    return _single_spaced(text).strip(" ,;:-.!?–—")


def _single_spaced(text: str) -> str:
    # A printable text has no other space than the plain one.
    return _SPACE.sub(" ", text) if "  " in text or not text.isprintable() else text


_KEPT_LENGTH: Final = 1_000
_kept: Final = lru_cache(maxsize=8_192)(_normalised)  # some 10 MB when full of posts
_FTFY: Final = ftfy.TextFixerConfig(
    unescape_html=True, uncurl_quotes=False, fix_latin_ligatures=False, explain=False
)
_WORD_WITH_FOREIGN: Final = re.compile(
    r"(?<!\w)\w{0,64}[\u0370-\u03ff\u0400-\u052f\u0250-\u02af]\w{0,64}"
)


def _plain_script(text: str) -> str:
    """Fold look-alikes in words that mix scripts, or are look-alikes from end to end.

    A word truly in another script keeps a letter that has no Latin twin and stays as it is.
    """

    def fold(match: re.Match[str]) -> str:
        folded = match[0].translate(_LOOKALIKES)
        return folded if folded.isascii() else match[0]

    if text.isascii():
        return text
    text = _WORD_WITH_FOREIGN.sub(fold, text)
    if text.isascii():
        return text
    # Accents carry no meaning in Indonesian spelling, but they do hide words.
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", re.sub("(?<=[a-z])[\u0300-\u036f]+", "", parts))


def _join_letters(match: re.Match[str]) -> str:
    return re.sub(r"[\s.·-]", "", match[0])


def _read_leet(match: re.Match[str]) -> str:
    word = match[0]
    return word.translate(_LEET) if sum(c.isalpha() for c in word) >= 3 else word
