"""The commands that run the desk and look after it."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

if TYPE_CHECKING:
    from service.database import Database

user_app = typer.Typer(help="Accounts of the desk.", no_args_is_help=True)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)

ACTOR: Final = "command line"
_BLANKS: Final = {ord(c): " " for c in "\t\r\n\x1b"}


def _database() -> Database:
    from service.database import Database
    from service.settings import load

    return Database(load().database_url)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=64,
            help="Server processes on the port; each holds a model of its own (some 300 MB).",
        ),
    ] = 1,
) -> None:
    """Serve the desk; brings the database up to date first.

    The first start makes the account "admin" and prints its one-time password and an API key.
    """
    from service.audit.configured import note_settings
    from service.database import Database
    from service.migrations import migrate as bring
    from service.operations import logs, serving

    settings = logs.start()
    with closing(Database(settings.database_url)) as database:
        bring(database)
        _first_account(database, host, port)
        with database.write() as session:
            note_settings(session, settings, actor=ACTOR)
    typer.echo(f"The desk: http://{host}:{port} (stop it with Ctrl-C)")
    sys.stdout.flush()
    serving.serve(settings, host, port, workers)


def _first_account(database: Database, host: str, port: int) -> None:
    from sqlalchemy import select

    from service.accounts import access, passwords
    from service.tables import Account

    some = select(Account.id).limit(1)
    with database.read() as session:
        if session.scalar(some) is not None:
            return
    made = passwords.one_time()
    with database.write() as session:
        if session.scalar(some) is not None:
            return
        account, password = access.create_account(
            session, "admin", "admin", actor=ACTOR, password=made
        )
        key = access.create_key(session, account, "first", ["read", "submit"], actor=ACTOR)
    typer.echo(
        f"Account admin, one-time password: {password}\n"
        f"API key, shown this once: {key}\n"
        f"Try:  curl -s http://{host}:{port}/v1/score -H 'Authorization: Bearer {key}' "
        '--json \'{"texts": ["Sebarkan! Bantuan tunai cair hari ini"]}\''
    )


def migrate(
    to: Annotated[
        str, typer.Option(help="A revision, “head” for the newest, “base” for no tables at all.")
    ] = "head",
) -> None:
    """Bring the database's tables to a revision; “base” deletes everything in them."""
    from service.migrations import migrate as bring

    if to == "base":
        typer.confirm("This deletes every post, verdict and account. Go on?", abort=True)
    with closing(_database()) as database:
        bring(database, to)


@user_app.command("add")
def user_add(
    name: str,
    role: Annotated[str, typer.Option(help="reader, submitter, moderator, analyst or admin.")],
) -> None:
    """Make an account and print its one-time password."""
    from service.accounts import access, passwords

    made = passwords.one_time()
    with closing(_database()) as database, database.write() as session:
        access.create_account(session, name, role, actor=ACTOR, password=made)
    typer.echo(f"one-time password of {name}: {made.text}")


@user_app.command("list")
def user_list() -> None:
    """Print the accounts: name, role, state, when made, when last seen; tabs between."""
    from service.accounts import people

    after: str | None = None
    with closing(_database()) as database, database.read() as session:
        while found := people.list_people(session, after=after):
            for person in found:
                account = person.account
                state = "open" if account.active else "closed"
                _line(account.name, account.role, state, account.created_at, person.last_seen)
            after = found[-1].account.name


@user_app.command("role")
def user_role(
    name: str,
    role: Annotated[str, typer.Argument(help="reader, submitter, moderator, analyst or admin.")],
) -> None:
    """Give an account another role; it holds from its next request on."""
    from service.accounts import people

    with closing(_database()) as database, database.write() as session:
        account = people.get_account(session, name=name)
        people.set_role(session, account, role, actor=ACTOR)


@user_app.command("close")
def user_close(name: str) -> None:
    """Close an account: its sessions end and its keys stop working."""
    from service.accounts import people

    with closing(_database()) as database, database.write() as session:
        people.close(session, people.get_account(session, name=name), actor=ACTOR)


@user_app.command("open")
def user_open(name: str) -> None:
    """Open a closed account again."""
    from service.accounts import people

    with closing(_database()) as database, database.write() as session:
        people.reopen(session, people.get_account(session, name=name), actor=ACTOR)


@user_app.command("reset")
def user_reset(name: str) -> None:
    """Give an account a new one-time password, end its sessions, and print the password."""
    from service.accounts import passwords, people

    made = passwords.one_time()
    with closing(_database()) as database, database.write() as session:
        account = people.get_account(session, name=name)
        people.reset_password(session, account, made, actor=ACTOR)
    typer.echo(f"one-time password of {name}: {made.text}")


def _line(*values: object) -> None:
    """Print values with tabs between; moments as ISO 8601 to the second, None as a dash."""
    said = (
        v.isoformat(timespec="seconds")
        if isinstance(v, datetime)
        else "-"
        if v is None
        else str(v).translate(_BLANKS)
        for v in values
    )
    typer.echo("\t".join(said))


@key_app.command("create")
def key_create(
    account: Annotated[str, typer.Argument(help="The account that the key acts for.")],
    scope: Annotated[list[str], typer.Option(help="read, submit, moderate …; may be repeated.")],
    name: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until it ends.")] = 365,
) -> None:
    """Make an API key and print it; it cannot be shown again."""
    from sqlalchemy import select

    from service.accounts import access
    from service.errors import NotFound
    from service.tables import Account

    with closing(_database()) as database, database.write() as session:
        row = session.scalar(select(Account).where(Account.name == account))
        if row is None:
            raise NotFound(f"there is no account “{account}”")
        key = access.create_key(session, row, name, scope, actor=ACTOR, days=days)
    typer.echo(key)


@key_app.command("list")
def key_list() -> None:
    """Print the keys: prefix, account, state, scopes, end, last use, name; tabs between."""
    from datetime import UTC

    from service.accounts import access

    now = datetime.now(UTC)
    before: int | None = None
    with closing(_database()) as database, database.read() as session:
        while found := access.list_keys(session, before=before):
            for key in found:
                state, scopes = access.key_state(key, now), ",".join(key.scopes)
                ends, used = key.expires_at, key.last_used_at
                _line(key.prefix, key.account.name, state, scopes, ends, used, key.name)
            before = found[-1].id


@key_app.command("revoke")
def key_revoke(
    prefix: Annotated[str, typer.Argument(help="The eight digits after lilin_.")],
) -> None:
    """End an API key at once."""
    from service.accounts import access

    with closing(_database()) as database, database.write() as session:
        access.revoke_key(session, prefix, actor=ACTOR)


@audit_app.command("verify")
def audit_verify() -> None:
    """Check the whole trail, and print its last hash to be kept elsewhere."""
    from service.audit import trail as audit

    with closing(_database()) as database, database.read() as session:
        found = audit.verify(session)
    typer.echo(f"{found.rows} rows, unbroken; last hash {found.head}")


@audit_app.command("export")
def audit_export(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; default: stdout.")
    ] = None,
    format: Annotated[str, typer.Option(help="jsonl or csv.")] = "jsonl",  # noqa: A002
) -> None:
    """Write the trail as JSON lines or CSV, the oldest row first."""
    from service.audit.listing import AuditFilters, exported

    if format not in ("csv", "jsonl"):
        raise typer.BadParameter("csv or jsonl", param_hint="--format")
    chosen: Literal["csv", "jsonl"] = "csv" if format == "csv" else "jsonl"
    stream = output.open("wb") if output else sys.stdout.buffer
    with closing(_database()) as database:
        for piece in exported(database, AuditFilters(), chosen):
            stream.write(piece)
    if output:
        stream.close()


def purge(
    older_than: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, help="Days; default: the setting retention_days."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and delete nothing.")
    ] = False,
) -> None:
    """Delete posts older than the retention that are not open in the queue, and what ended.

    With them go their verdicts, narratives that have no other post, feeds of that age, stored
    answers, ended sessions and old tallies; the audit trail stays. It can be
    stopped at any moment and run again.
    """
    from dataclasses import asdict
    from datetime import UTC, timedelta

    from service.database import Database
    from service.privacy import purge as privacy
    from service.settings import load

    settings = load()
    days = settings.retention_days if older_than is None else older_than
    age = timedelta(days=days) if days else None
    now = datetime.now(UTC)
    with closing(Database(settings.database_url)) as database:
        if dry_run:
            found = privacy.would_purge(database, older_than=age, now=now)
        else:
            found = privacy.purge(
                database,
                older_than=age,
                feeds_folder=settings.feeds_folder,
                now=now,
                actor=ACTOR,
            )
    counts = ", ".join(f"{count} {name}" for name, count in asdict(found).items())
    typer.echo(f"{'would delete' if dry_run else 'deleted'}: {counts}")


def bench_desk(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the report is written.")
    ] = Path("docs/benchmark-desk.md"),
    posts: Annotated[int, typer.Option(min=1000, help="Posts in the filled database.")] = 1_000_000,
    open_items: Annotated[
        int, typer.Option("--open", min=100, help="Open items of its queue.")
    ] = 50_000,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load.")] = 30.0,
    repeats: Annotated[int, typer.Option(min=1, help="Requests per view of the queue.")] = 40,
    parts: Annotated[
        str,
        typer.Option(
            help="a: latency, b: saturation, c: beside a plain service, d: the queue, e: the process, "
            "f: narratives."
        ),
    ] = "abcde",
) -> None:
    """Measure the desk on this machine, some ten minutes; writes the report."""
    from models.bench import machine
    from models.errors import TrainingError
    from service.bench.report import report
    from service.bench.run import run

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        found = run(
            posts=posts,
            open_items=open_items,
            seconds=seconds,
            repeats=repeats,
            parts=parts,
            say=say,
        )
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"the benchmark needs {error.name}: install 'lilin[train,dev]', or use `make bench`"
        ) from None
    text = report(found, machine())
    output.write_text(text, encoding="utf-8")
    typer.echo(text)


@config_app.command("show")
def config_show() -> None:
    """Print every setting with its meaning and its environment variable; passwords are masked."""
    import os

    from service.settings import load, shown, typing_errors

    typer.echo(shown(load()))
    mistyped = typing_errors(os.environ)
    if mistyped:
        typer.echo(f"lilin: {mistyped}", err=True)
