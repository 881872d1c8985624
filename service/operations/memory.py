"""A process that has started settles down: memory given back, what stays not looked through."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from typing import Final

_YOUNG: Final = 20_000
"""Objects from which new ones are looked through: a round of grouping makes some thousands."""


def settle() -> None:
    """Do once what pays when everything is loaded and a long work begins.

    What loading the model left behind (some 130 MB) is given back to the system, where glibc can;
    and Python's search for cycles leaves out what is there to stay: looking through it again and
    again takes more time than much of the grouping.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
