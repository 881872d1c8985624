"""What the people who run the desk see: logs, metrics, readiness, settings, the manual."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer.main
from annotated_types import Ge, Gt, Le, Lt
from fastapi import Request
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from sqlalchemy.orm import make_transient

from models.fake import FakeScorer
from service.accounts import access
from service.app import create_app
from service.cli import app as command
from service.database import Database
from service.errors import BadSettings
from service.migrations import migrate, newest, state_of
from service.operations import logs
from service.operations.metrics import SHARED
from service.settings import Settings, load, shown, typing_errors
from service.tables import StoredPost

ROOT = Path(__file__).parents[3]
RISKY = "SEBARKAN! rahasia vaksin terbongkar"
SECRET = "rahasia-besar"
Start = Callable[..., TestClient]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a desk on a migrated SQLite file; the caller's address may be given."""
    clients: list[TestClient] = []

    def started(address: str = "127.0.0.1", *, raises: bool = True, **settings: Any) -> TestClient:
        url = f"sqlite:///{tmp_path}/desk.db"
        database = Database(url)
        migrate(database)
        database.close()
        app = create_app(Settings(database_url=url, **settings), scorer=FakeScorer())
        client = TestClient(app, client=(address, 50_000), raise_server_exceptions=raises)
        client.__enter__()
        clients.append(client)
        return client

    yield started
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return a stream that takes every log, as JSON."""
    stream = io.StringIO()
    root, before, level = logging.getLogger(), logging.getLogger().handlers[:], logging.root.level
    logs.setup("debug", stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def events(log: io.StringIO, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if line["event"] == name]


def key_of(client: TestClient, role: str = "moderator") -> dict[str, str]:
    with client.app.state.desk.database.write() as session:  # type: ignore[attr-defined]
        account, _ = access.create_account(session, "ani", role, actor="test")
        scopes = [right.value for right in access.ROLES[role]]
        key = access.create_key(session, account, "test", scopes, actor="test")
    return {"Authorization": f"Bearer {key}"}


def counted(client: TestClient) -> dict[tuple[str, ...], float]:
    """Return the samples of /metrics by name and label values, by the labels' names."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


# --- logs ------------------------------------------------------------------------------------------


def test_a_request_is_logged_by_its_route_and_nothing_that_was_sent(
    start: Start, log: io.StringIO
) -> None:
    client = start()
    who = key_of(client)
    client.cookies.set("lilin_session", SECRET)
    client.post("/v1/posts?kunci=diam", headers=who, json={"posts": [{"text": RISKY}]})
    client.get("/v1/posts/1?words=diam", headers=who)
    client.post("/masuk", data={"name": "ani", "password": SECRET})
    lines = events(log, "request answered")
    assert {"/v1/posts", "/v1/posts/{post_id}"} <= {line["route"] for line in lines}
    fields = {"event", "level", "timestamp", "request_id", "method", "route", "status"}
    assert all(fields | {"duration_ms"} <= set(line) for line in lines)
    text = log.getvalue()
    sent = (RISKY, "terbongkar", "diam", SECRET, who["Authorization"].split("_")[-1])
    assert [s for s in sent if s in text] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123.X_y", True), ("a" * 65, False), ("satu dua", False), ("<b>", False), ("", False)],
)
def test_a_request_id_is_kept_if_it_is_sane_and_made_anew_if_not(
    given: str, kept: bool, start: Start, log: io.StringIO
) -> None:
    answer = start().get("/v1/queue", headers={"X-Request-ID": given})
    number = answer.headers["X-Request-ID"]
    assert (number == given) is kept
    assert re.fullmatch(r"[\w.-]{1,64}", number)
    assert events(log, "request answered")[-1]["request_id"] == number


def test_a_fault_is_logged_by_kind_and_place_without_its_message(
    start: Start, log: io.StringIO
) -> None:
    client = start(raises=False)

    def broken() -> None:
        raise ValueError(RISKY)

    client.app.add_api_route("/rusak", broken)  # type: ignore[attr-defined]
    answer = client.get("/rusak")
    assert answer.status_code == 500
    (line,) = events(log, "request failed")
    assert line["kind"] == "ValueError"
    assert any("test_operations.py" in place for place in line["places"])
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert RISKY not in log.getvalue()
    assert counted(client)["lilin_errors_total", "unforeseen"] == 1


def test_a_traceback_of_a_library_is_logged_without_its_message(log: io.StringIO) -> None:
    try:
        raise ValueError(RISKY)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    (line,) = events(log, "Exception in ASGI application")
    assert line["kind"] == "ValueError"
    assert RISKY not in log.getvalue()


def test_good_answers_to_probes_are_quiet(start: Start, log: io.StringIO) -> None:
    client = start()
    client.get("/healthz")
    client.get("/tidak-ada")
    by_route = {line["route"]: line["level"] for line in events(log, "request answered")}
    assert by_route == {"/healthz": "debug", "other": "info"}


def test_before_a_person_the_log_is_readable() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream, root = Terminal(), logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.setup("info", stream)
    try:
        structlog.get_logger("lilin").info("desk started", model="fake-1")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()
    assert "desk started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


# --- metrics ---------------------------------------------------------------------------------------


def test_posts_rounds_and_verdicts_are_counted(start: Start) -> None:
    client = start(second_review_share=0.0)
    who = key_of(client)
    for _ in range(2):
        client.post("/v1/posts", headers=who, json={"posts": [{"text": RISKY}, {"text": "halo"}]})
    (item,) = client.get("/v1/queue", headers=who).json()["items"]
    client.post(f"/v1/queue/{item['id']}/claim", headers=who)
    client.post(f"/v1/queue/{item['id']}/verdict", headers=who, json={"verdict": "hoax"})
    client.post("/v1/posts", headers=who, json={"posts": [{"text": "SEBARKAN! undian"}]})
    found = counted(client)
    assert found["lilin_posts_stored_total",] == 3
    assert found["lilin_scored_posts_total",] == 3
    assert found["lilin_scoring_batches_total",] == 2
    assert found["lilin_verdicts_total", "hoax"] == 1
    assert found["lilin_queue_open",] == 1
    assert found["lilin_queue_overdue",] == 0
    assert found["lilin_waiting_characters",] == 0
    assert found["lilin_model_info", "fake-1"] == 1
    assert found["lilin_requests_total", "POST", "/v1/posts", "2xx"] == 3
    assert found["lilin_request_seconds_count", "POST", "/v1/posts"] == 3


def test_strangers_cannot_make_new_labels(start: Start) -> None:
    client = start()
    before = {key[1:] for key in counted(client) if key[0] == "lilin_requests_total"}
    for number in range(20):
        client.get(f"/coba/{number}")
        client.get(f"/static/{number}")
        client.request(f"M{number}", "/v1/queue")
    after = {key[1:] for key in counted(client) if key[0] == "lilin_requests_total"}
    assert after - before <= {
        ("GET", "other", "4xx"),
        ("GET", "/static", "4xx"),
        ("other", "/v1/queue", "4xx"),
        ("GET", "/metrics", "2xx"),
    }


def test_what_is_rolled_back_is_not_counted(start: Start) -> None:
    client = start()
    who = key_of(client)
    desk = client.app.state.desk  # type: ignore[attr-defined]
    client.post("/v1/posts", headers=who, json={"posts": [{"text": "halo"}]})
    with suppress(RuntimeError), desk.database.write() as session:
        row = session.get(StoredPost, 1)
        session.expunge(row)
        make_transient(row)
        row.id, row.key = None, "another"
        session.add(row)
        session.flush()
        raise RuntimeError
    assert counted(client)["lilin_posts_stored_total",] == 1


def test_processes_that_share_a_port_are_added_up(tmp_path: Path) -> None:
    program = (
        "from service.operations.metrics import Metrics; made = Metrics(); "
        "made.answered('/v1/score', 'POST', 200, 0.1); made.watch_line(lambda: 7); "
        "print(made.exposition().decode())"
    )
    environment = os.environ | {SHARED: str(tmp_path)}
    shown = ""
    for _ in range(2):
        shown = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert 'lilin_requests_total{method="POST",route="/v1/score",status="2xx"} 2.0' in shown
    assert "lilin_waiting_characters 7.0" in shown, "the first has ended: nothing of it waits"


def test_a_refusal_is_counted_by_its_code(start: Start) -> None:
    client = start()
    assert client.get("/v1/queue").status_code == 401
    assert counted(client)["lilin_errors_total", "not-signed-in"] == 1


@pytest.mark.parametrize(
    ("address", "headers", "setting", "status"),
    [
        ("127.0.0.1", {}, "loopback", 200),
        ("::1", {}, "loopback", 200),
        ("127.0.0.1", {}, "key", 401),
        ("10.0.0.9", {}, "loopback", 401),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, "loopback", 401),
        ("127.0.0.1", {"Forwarded": "for=10.0.0.9"}, "loopback", 401),
    ],
)
def test_metrics_are_for_this_machine_or_a_key_that_may_read(
    address: str, headers: dict[str, str], setting: str, status: int, start: Start
) -> None:
    client = start(address, metrics=setting)
    assert client.get("/metrics", headers=headers).status_code == status
    assert client.get("/metrics", headers=headers | key_of(client, "reader")).status_code == 200


# --- readiness -------------------------------------------------------------------------------------


def test_readyz_tells_missing_old_and_fitting_tables_apart(empty_database: Database) -> None:
    url = empty_database.url.render_as_string(hide_password=False)
    with TestClient(create_app(Settings(database_url=url), scorer=FakeScorer())) as client:
        missing = client.get("/readyz")
        migrate(empty_database, "0001")
        old = client.get("/readyz")
        migrate(empty_database)
        fits = client.get("/readyz")
    assert [answer.status_code for answer in (missing, old, fits)] == [503, 503, 200]
    assert "missing" in missing.json()["status"]
    assert f"0001 of {newest():04d}" in old.json()["status"]
    assert fits.json() == {"status": "ready", "model": "fake-1"}


def test_tables_newer_than_the_code_are_not_taken_for_fitting_ones(database: Database) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer" in str(state_of(database))


def test_the_newest_migration_is_the_one_that_alembic_finds() -> None:
    from alembic.script import ScriptDirectory

    head = ScriptDirectory(str(ROOT / "service" / "migrations")).get_current_head()
    assert f"{newest():04d}" == head


# --- settings --------------------------------------------------------------------------------------


def test_every_setting_has_a_meaning_and_every_number_has_bounds() -> None:
    for name, field in Settings.model_fields.items():
        assert len(field.description or "") > 20, name
        if "int" in str(field.annotation) or "float" in str(field.annotation):
            kinds = {type(bound) for bound in field.metadata}
            assert kinds & {Ge, Gt}, f"{name} has no lower bound"
            assert kinds & {Le, Lt}, f"{name} has no upper bound"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://lilin:{SECRET}@db/lilin",
        f"postgresql+psycopg://lilin@db/lilin?password={SECRET}",
        f"postgresql://lilin:{SECRET}@db:bukan-angka/lilin",
    ],
)
def test_a_database_password_is_masked_wherever_settings_are_shown(url: str) -> None:
    settings = Settings(database_url=url)
    for text in (shown(settings), str(settings), repr(settings), settings.model_dump_json()):
        assert SECRET not in text


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LILIN_MODEL", "")
    assert load().model is None


def test_a_bad_value_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LILIN_THREADS", SECRET)
    with pytest.raises(BadSettings) as error:
        load()
    assert "LILIN_THREADS" in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("value", ["10.0.0.0/8, ::1", "127.0.0.1", ""])
def test_trusted_proxies_are_addresses_and_networks(value: str) -> None:
    assert Settings(trusted_proxies=value).trusted_proxies == value


@pytest.mark.parametrize("value", ["*", "proxy.local", "10.0.0.1/8"])
def test_nobody_can_trust_everyone_by_mistake(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(trusted_proxies=value)


def test_only_a_trusted_proxy_says_who_the_client_is(start: Start) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}

    def seen_by(client: TestClient) -> str:
        def asked(request: Request) -> str:
            assert request.client is not None
            return f"{request.url.scheme} {request.client.host}"

        client.app.add_api_route("/siapa", asked)  # type: ignore[attr-defined]
        text: str = client.get("/siapa", headers=headers).json()
        return text

    assert seen_by(start("10.1.2.3", trusted_proxies="10.0.0.0/8")) == "https 203.0.113.7"
    assert seen_by(start("10.1.2.3")) == "http 10.1.2.3"
    assert seen_by(start("192.0.2.1", trusted_proxies="10.0.0.0/8")) == "http 192.0.2.1"


def test_a_misspelt_setting_is_warned_of_in_one_line() -> None:
    said = typing_errors(["LILIN_DATABSE_URL", "LILIN_LOGLEVEL", "LILIN_THREADS", "PATH"])
    assert said is not None
    assert "\n" not in said
    assert "LILIN_DATABSE_URL (did you mean LILIN_DATABASE_URL?)" in said
    assert "LILIN_LOG_LEVEL" in said
    assert typing_errors(["LILIN_DATA_DIR", "LILIN_ANYTHING_ELSE", "lilin_threads"]) is None


# --- the manual ------------------------------------------------------------------------------------


def manual() -> str:
    return (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_manual_explains_every_setting() -> None:
    rows = dict(re.findall(r"^\| `(LILIN_\w+)` \| .*? \| (.+) \|$", manual(), re.MULTILINE))
    assert set(rows) == {f"LILIN_{name.upper()}" for name in Settings.model_fields}


def commands(node: Any = None, path: tuple[str, ...] = ()) -> Iterator[str]:
    node = node or typer.main.get_command(command)
    children = getattr(node, "commands", None)
    if not children:
        yield " ".join(path)
        return
    for name, child in children.items():
        yield from commands(child, (*path, name))


def test_the_manual_names_every_command() -> None:
    text = manual()
    assert [name for name in commands() if f"lilin {name}" not in text] == []


def test_the_manual_explains_every_metric() -> None:
    source = (ROOT / "service" / "operations" / "metrics.py").read_text(encoding="utf-8")
    declared = set(re.findall(r'"(lilin_[a-z_]+)"', source))
    explained = set(re.findall(r"`(lilin_[a-z_]+)", manual()))
    assert declared == explained


def test_the_deploy_files_name_settings_and_extras_that_exist() -> None:
    known = {f"LILIN_{name.upper()}" for name in Settings.model_fields} | {"LILIN_PASSWORD"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for path in (ROOT / "service" / "deploy").iterdir():
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\bLILIN_[A-Z_]+", text)) <= known, path.name
        for extra in re.findall(r"lilin\[(\w+)\]", text):
            assert extra in extras["optional-dependencies"]


def test_config_show_prints_settings_and_warns_of_misspelt_ones() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "service.cli", "config", "show"],
        cwd=ROOT,
        env={"LILIN_DATABASE_URL": f"postgresql://u:{SECRET}@h/d", "LILIN_TREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "LILIN_DATABASE_URL=postgresql://u:***@h/d" in result.stdout
    assert "did you mean LILIN_THREADS?" in result.stderr
    assert SECRET not in result.stdout + result.stderr
