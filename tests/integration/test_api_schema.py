"""Thousands of odd requests, made from the API's own description: none may break the service."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from models.fake import FakeScorer
from service.accounts import access, passwords
from service.app import create_app
from service.database import Database
from service.migrations import migrate
from service.settings import Settings

REQUESTS = 50
"""Per kind of request."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a desk with a few open items; return its address and a key that may do everything."""
    url = f"sqlite:///{tmp_path}/desk.db"
    database = Database(url)
    migrate(database)
    made = passwords.one_time()
    with database.write() as session:
        account, _ = access.create_account(session, "ani", "admin", actor="test", password=made)
        key = access.create_key(session, account, "t", [r.value for r in access.Right], actor="t")
    database.close()
    app = create_app(
        Settings(
            database_url=url,
            feeds_folder=tmp_path / "feeds",
            requests_per_minute=0,
            queue_threshold=0.0,
        ),
        scorer=FakeScorer(),
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the server died"
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield address, {"Authorization": f"Bearer {key}"}
        server.should_exit = True
        thread.join(30)


def test_no_request_breaks_the_service(served: tuple[str, dict[str, str]]) -> None:
    address, key = served
    posts = [{"text": f"sebarkan kabar {i}"} for i in range(20)]
    sent = httpx.post(f"{address}/v1/posts", headers=key, json={"posts": posts}, timeout=30)
    assert sent.status_code == 201, sent.text
    schema: Any = schemathesis.openapi.from_url(f"{address}/openapi.json")
    seen: set[int] = set()

    def check(case: Any) -> None:
        answer = case.call(headers=key)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=[not_a_server_error])

    odd = settings(
        max_examples=REQUESTS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    kinds = [result.ok() for result in schema.get_all_operations()]
    assert len(kinds) > 20
    for kind in kinds:
        odd(given(case=kind.as_strategy())(check))()
    assert {200, 404, 422} <= seen
