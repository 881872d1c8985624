"""A webhook: the payload as JSON, signed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

import orjson

from service.alerts import client, targets
from service.alerts.channels.outcome import Outcome, of_answer
from service.alerts.signature import HEADER, sign
from service.alerts.targets import Allowed, Resolve
from service.errors import BadTarget
from service.tables import Channel, Delivery

AGENT: Final = f"Lilin/{version('lilin')}"


class Webhook:
    """Sends to whoever has a URL and the channel's secret."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve = targets.resolve,
        total_s: float = client.TOTAL_S,
    ) -> None:
        """``total_s`` is how long one try may take in all, in seconds."""
        self._allowed = allowed
        self._resolve = resolve
        self._total_s = total_s

    def send(self, channel: Channel, delivery: Delivery, *, now: datetime) -> Outcome:
        """Try once to send a delivery."""
        body = orjson.dumps(
            {
                **delivery.payload,
                "delivery": delivery.key,
                "kind": delivery.kind,
                "created_at": delivery.created_at.isoformat(),
            }
        )
        headers = {"Idempotency-Key": delivery.key, "X-Lilin-Delivery": delivery.key}
        if channel.secret is not None:
            signed = sign(body, channel.secret.get_secret_value(), int(now.timestamp()))
            headers[HEADER] = signed
        return self.post(channel.target.get_secret_value(), body, headers, now)

    def post(self, url: str, body: bytes, headers: Mapping[str, str], now: datetime) -> Outcome:
        """Post JSON to a URL that is judged first."""
        try:
            target = targets.check(url, self._allowed, resolve=self._resolve)
            answer = client.post(target, body, json_headers(headers), total_s=self._total_s)
        except BadTarget as error:
            return Outcome(error=f"target-{error.reason}")
        except client.Unreached as error:
            return Outcome(error=error.code)
        return of_answer(answer, now)


def json_headers(more: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a JSON body with some more."""
    return {"Content-Type": "application/json", "User-Agent": AGENT, "Accept": "*/*", **more}


def loaded(body: bytes) -> dict[str, Any]:
    """Return a JSON object from whatever a receiver answered; empty where it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
