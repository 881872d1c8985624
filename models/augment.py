"""Augmentation that takes shortcuts away: what an author changes freely must not decide.

It works on normalised text (see ``models.text``), where case, links, mentions, quotation marks,
zero-width and look-alike characters are gone already; what is left to vary is punctuation,
length, spelling, slang, hashtags and emoji.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_PUNCTUATION: Final = re.compile(r"[^\w\s#%/-]+")
_EMOJI: Final = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")
_WORD: Final = re.compile(r"\w+")
_ADDED_EMOJI: Final = "🙏😂😭🔥👍😡❤🤣‼✅👉📢"
SLANG_FILE: Final = "slang_words.csv"


def read_slang(folder: Path) -> dict[str, list[str]]:
    """Return formal word -> slang spellings from the data folder; empty if it has no such file."""
    path = folder / SLANG_FILE
    spellings: dict[str, list[str]] = {}
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                formal, slang = row["formal"].strip().lower(), row["slang"].strip().lower()
                if formal and " " not in formal and slang and formal != slang:
                    spellings.setdefault(formal, []).append(slang)
    return spellings


def augment(text: str, rng: random.Random, slang: Mapping[str, list[str]]) -> str:
    """Return a variant of a normalised text; each change is drawn on its own."""
    if rng.random() < 0.4:
        text = _PUNCTUATION.sub(" ", text)
    elif rng.random() < 0.1:
        text = text + rng.choice("!?.")
    if rng.random() < 0.3:
        text = _EMOJI.sub(" ", text)
    elif rng.random() < 0.08:
        text = f"{text} {rng.choice(_ADDED_EMOJI)}"
    if rng.random() < 0.2:
        text = text.replace("#", " ")
    if slang and rng.random() < 0.15:
        text = _WORD.sub(lambda m: _slangify(m[0], rng, slang), text)
    if rng.random() < 0.1:
        text = _misspell(text, rng)
    words = text.split()
    if len(words) > 12 and rng.random() < 0.2:
        keep = rng.randint(max(8, len(words) // 3), len(words) - 1)
        start = rng.choice((0, rng.randint(0, len(words) - keep)))
        words = words[start : start + keep]
    return " ".join(words) or text


def _slangify(word: str, rng: random.Random, slang: Mapping[str, list[str]]) -> str:
    spellings = slang.get(word)
    return rng.choice(spellings) if spellings and rng.random() < 0.4 else word


def _misspell(text: str, rng: random.Random) -> str:
    letters = list(text)
    for _ in range(max(1, len(letters) // 60)):
        i = rng.randrange(len(letters))
        if not letters[i].isalpha():
            continue
        if rng.random() < 0.5:
            letters[i] = ""
        elif i + 1 < len(letters):
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
    return "".join(letters)
