"""The queue with a million posts: pages and API, first page and last, with every filter."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.bench.clients import Client, Load
from service.bench.rows import fill
from service.bench.servers import desk
from service.database import Database
from service.migrations import migrate
from service.tables import Account

QUERIES: Final = {
    "first page": "",
    "label": "label=hoax",
    "technique": "technique=impostor",
    "minimum risk": "minimum_risk=0.9",
    "platform": "platform=tiktok",
    "source, a rare one": "source=feed-7",
    "the last day": "seen_after=DAY",
    "claimed": "state=claimed",
    "mine": "mine=true",
    "decided": "state=decided",
    "a common word": "words=bantuan",
    "a word that is nowhere": "words=zzyzx",
    "rare word and label": "words=zzyzx&label=hoax",
}
PAGES: Final = {
    "first page": "",
    "label": "label=hoax",
    "technique": "teknik=impostor",
    "minimum risk": "risiko=90",
    "platform": "platform=tiktok",
    "source, a rare one": "sumber=feed-7",
    "the last day": "umur=24",
    "claimed": "status=claimed",
    "mine": "milik=1",
    "decided": "status=decided",
    "a common word": "cari=bantuan",
    "a word that is nowhere": "cari=zzyzx",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The queue of one database: how it was filled, and a load per kind of request."""

    kind: str
    posts: int
    open: int
    filled_s: float
    page: dict[str, Load]
    api: dict[str, Load]
    memory: tuple[int, int]

    def all(self, loads: dict[str, Load]) -> Load:
        """Return the loads taken together."""
        return Load(
            [s for load in loads.values() for s in load.seconds],
            sum((load.kinds for load in loads.values()), Counter()),
        )


def measure_queue(
    kind: str, url: str, *, posts: int, open_items: int, repeats: int, say: Callable[[str], None]
) -> Queue:
    """Fill a database and ask for pages of its queue, one request after the other."""
    database = Database(url)
    migrate(database)
    start = time.perf_counter()
    fill(database, posts=posts, open_items=open_items, decided=open_items)
    filled = time.perf_counter() - start
    database.close()
    say(f"{kind}: {posts:,} posts in {filled:.0f} s")
    with desk(url) as (server, key, browser):
        client = Client(server.port)
        _claim_some(url)

        def timed(path: str, headers: dict[str, str], load: Load) -> bytes:
            began = time.perf_counter()
            answer, body = client.ask("GET", path, headers)
            load.kinds[answer] += 1
            if answer == "200":
                load.seconds.append(time.perf_counter() - began)
            return body

        day = datetime.fromtimestamp(time.time() - 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        page: dict[str, Load] = {}
        api: dict[str, Load] = {}
        for loads, queries, path, headers in (
            (api, QUERIES, "/v1/queue", key),
            (page, PAGES, "/", browser),
        ):
            for name, query in queries.items():
                client.ask("GET", f"{path}?{query.replace('DAY', day)}", headers)
                load = loads[name] = Load()
                for _ in range(repeats):
                    timed(f"{path}?{query.replace('DAY', day)}", headers, load)
                say(f"{kind} {path} {name}: p95 {load.quantile(0.95):.0f} ms")
        cursor: str | None = None
        api["page after page, deep"] = deep = Load()
        page["page after page, deep"] = deep_page = Load()
        for _ in range(max(repeats, min(400, open_items // 250))):
            after = f"&after={cursor}" if cursor else ""
            body = timed(f"/v1/queue?limit=200{after}", key, deep)
            cursor = json.loads(body).get("next") if body else None
            if cursor is None:
                break
            timed(f"/?setelah={cursor}", browser, deep_page)
        memory = server.memory()
    return Queue(
        kind=kind,
        posts=posts,
        open=open_items,
        filled_s=filled,
        page=page,
        api=api,
        memory=memory,
    )


def _claim_some(url: str) -> None:
    """Let the newest account hold some items, so that "mine" and "claimed" have something."""
    from service.queue import service as queue
    from service.queue.service import QueueRules

    database = Database(url)
    with database.write() as session:
        account = session.query(Account).order_by(Account.id.desc()).limit(1).one()
        for _ in range(20):
            queue.claim_next(session, account, QueueRules(threshold=0.5))
    database.close()
