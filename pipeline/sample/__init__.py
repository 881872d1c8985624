"""The sample feed, with its dates moved so that the last post is of now."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Final

FEED: Final = Path(__file__).with_name("feed.csv")
_DATE: Final = re.compile(rb"\b2026-03-\d\dT\d\d:\d\d:\d\d(?:[+-]\d\d:\d\d|Z)")


def write(path: Path, *, now: datetime) -> None:
    """Write the sample to ``path``, every date moved by the same span; broken rows stay broken."""
    content = FEED.read_bytes()
    dates = [datetime.fromisoformat(found.decode()) for found in _DATE.findall(content)]
    moved = now.replace(microsecond=0) - max(dates)

    def move(found: re.Match[bytes]) -> bytes:
        return (datetime.fromisoformat(found[0].decode()) + moved).isoformat().encode()

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_DATE.sub(move, content))
