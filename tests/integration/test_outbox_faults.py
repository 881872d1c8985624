"""Senders as processes of their own: killed between sending and marking, several at once."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.alerts.sender import LEASE, Senders
from service.database import Database
from service.operations import logs
from service.tables import Channel
from tests.unit.service.receivers import PATIENCE_S, Got, Receiver, Reply, closed_port
from tests.unit.service.sending import MESSAGE, NOW, carriers, make_channel, put, rows

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COMMAND = "from service.cli import main; main()"
DRAIN = """
import sys
from datetime import datetime
from service.alerts.channels.service import carriers
from service.alerts.sender import Senders
from service.database import Database
from service.operations import logs
from service.settings import load
settings = load()
Senders(Database(settings.database_url), carriers(settings)).drain(
    datetime.fromisoformat(sys.argv[1])
)
"""


def environment(database: Database, **more: str) -> dict[str, str]:
    url = database.url.render_as_string(hide_password=False)
    return os.environ | {
        "LILIN_DATABASE_URL": url,
        "LILIN_WEBHOOK_HOSTS": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
        **more,
    }


def start(database: Database, *command: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", *command],
        cwd=ROOT,
        env=environment(database),
        text=True,
        **more,
    )


def test_a_sender_killed_after_sending_sends_again_with_the_same_key_and_loses_nothing(
    database: Database,
) -> None:
    started = threading.Event()
    running: list[subprocess.Popen[str]] = []
    deadly = {1, 4, 5}  # messages, counted as they arrive, at which the sender is killed

    def kill(_: Got) -> Reply:
        started.wait(PATIENCE_S)
        if len(receiver.got) + 1 in deadly:
            running[-1].kill()
            running[-1].wait()
        return Reply()

    now = datetime.now(UTC)
    with Receiver(kill) as receiver:
        keys = [row.key for row in put(database, make_channel(database, receiver.url), 6, now=now)]
        killed = 0
        while True:
            started.clear()
            running.append(start(database, DRAIN, now.isoformat()))
            started.set()
            if running[-1].wait(PATIENCE_S) == 0:
                break
            assert running[-1].returncode == -signal.SIGKILL
            killed += 1
            now += LEASE
    assert killed == len(deadly)
    assert {row.state for row in rows(database)} == {"sent"}
    assert set(receiver.keys) == set(keys)
    assert len(receiver.got) == len(keys) + killed
    for key in keys:
        bodies = {got.body for got in receiver.got if got.headers["idempotency-key"] == key}
        assert len(bodies) == 1, "a repetition is the same message to the last byte"


def test_processes_side_by_side_send_each_message_once_and_one_at_a_time(
    database: Database,
) -> None:
    now = datetime.now(UTC)
    with Receiver() as one, Receiver() as two:
        for name, receiver in (("satu", one), ("dua", two)):
            put(database, make_channel(database, receiver.url, name), 20, now=now)
        processes = [start(database, DRAIN, now.isoformat()) for _ in range(3)]
        assert [process.wait(PATIENCE_S) for process in processes] == [0, 0, 0]
        Senders(database, carriers()).drain(now)
    for receiver in (one, two):
        assert len(receiver.got) == len(set(receiver.keys)) == 20
        assert receiver.most_at_once == 1
    assert {row.state for row in rows(database)} == {"sent"}


@pytest.mark.parametrize("empty_database", ["sqlite"], indirect=True)
def test_a_database_that_is_locked_when_the_answer_comes_is_waited_for(database: Database) -> None:
    other = sqlite3.connect(
        str(database.url.database), isolation_level=None, check_same_thread=False
    )

    class Log(io.StringIO):
        def write(self, text: str) -> int:
            if "sender waited for the database" in text:
                other.execute("ROLLBACK")
            return super().write(text)

    def lock(_: Got) -> Reply:
        other.execute("BEGIN IMMEDIATE")
        return Reply()

    log = Log()
    logs.setup("info", log)
    with Receiver(lock) as receiver:
        put(database, make_channel(database, receiver.url), now=NOW)
        Senders(database, carriers(), threads=1).drain(NOW)
    other.close()
    assert "sender waited for the database" in log.getvalue()
    assert len(receiver.got) == 1
    assert rows(database)[0].state == "sent"


def test_the_commands_make_a_channel_and_receive_its_alert(tmp_path: Path) -> None:
    port = closed_port()
    database = Database(f"sqlite:///{tmp_path}/desk.db")
    url = f"http://127.0.0.1:{port}/"
    assert start(database, COMMAND, "migrate").wait(PATIENCE_S) == 0
    add = (COMMAND, "channel", "add", "coba", "webhook", url)
    secret = start(database, *add, stdout=subprocess.PIPE).communicate()[0].strip()
    assert secret.startswith("lilin_")
    listen = (COMMAND, "listen", "--port", str(port), "--secret", secret, "--once")
    listener = start(database, *listen, "--timeout", str(PATIENCE_S), stdout=subprocess.PIPE)
    assert listener.stdout is not None
    assert url in listener.stdout.readline()
    with database.read() as session:
        channel = session.get_one(Channel, 1)
    now = datetime.now(UTC)
    put(database, channel, now=now)
    Senders(database, carriers()).drain(now)
    said = listener.stdout.read()
    listener.stdout.close()
    assert listener.wait(PATIENCE_S) == 0
    assert MESSAGE.title in said
    assert "tanda tangan cocok" in said
    database.close()
    nothing = (COMMAND, "listen", "--port", str(port), "--once", "--timeout", "0.1")
    assert start(database, *nothing, stdout=subprocess.DEVNULL).wait(PATIENCE_S) == 1
