"""The signature of a webhook's message: ``t=SECONDS,v1=HEX``.

HEX is HMAC-SHA256 with the channel's secret over SECONDS, a dot and the body's bytes, as Stripe
and others do it; SECONDS since 1970 are when this try was made, so that a recorded message cannot
be played back later.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

HEADER: Final = "Lilin-Signature"
TOLERANCE_S: Final = 300
"""How far the receiver's clock and the sender's may be apart."""
_SHAPE: Final = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


def sign(body: bytes, secret: str, at_s: int) -> str:
    """Return the header's value for a body that is sent at ``at_s`` seconds since 1970."""
    return f"t={at_s},v1={_mac(body, secret, at_s)}"


def holds(value: str, body: bytes, secret: str, *, now_s: float) -> bool:
    """Return whether the header's value is this body's, and of these minutes."""
    found = _SHAPE.fullmatch(value)
    if found is None:
        return False
    at_s = int(found[1])
    same = hmac.compare_digest(found[2], _mac(body, secret, at_s))
    return same and abs(now_s - at_s) <= TOLERANCE_S


def _mac(body: bytes, secret: str, at_s: int) -> str:
    return hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
