"""What was seen in the figures and read by eye: renewed by hand with each measurement."""

from __future__ import annotations

from typing import Final

NOT_REACHED: Final[tuple[str, ...]] = ()
BY_EYE: Final[tuple[str, ...]] = ()
