"""The commands that run the desk and look after it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from service.database import Database

user_app = typer.Typer(help="Accounts of the desk.", no_args_is_help=True)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
config_app = typer.Typer(help="The settings.", no_args_is_help=True)

ACTOR: Final = "command line"


def _database() -> Database:
    from service.database import Database
    from service.settings import Settings

    return Database(Settings().database_url)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Serve the desk's API; brings the database up to date first.

    The first start makes the account "admin" and prints its one-time password and an API key.
    """
    import uvicorn

    from service.app import create_app
    from service.migrations import migrate as bring

    with closing(_database()) as database:
        bring(database)
        _first_account(database, host, port)
    uvicorn.run(create_app(), host=host, port=port, access_log=False, timeout_graceful_shutdown=30)


def _first_account(database: Database, host: str, port: int) -> None:
    from sqlalchemy import select

    from service.accounts import access
    from service.tables import Account

    with database.write() as session:
        if session.scalar(select(Account.id).limit(1)) is not None:
            return
        account, password = access.create_account(session, "admin", "admin", actor=ACTOR)
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
    from service.accounts import access

    with closing(_database()) as database, database.write() as session:
        _, password = access.create_account(session, name, role, actor=ACTOR)
    typer.echo(f"one-time password of {name}: {password}")


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
        Path | None, typer.Option("-o", "--output", help="JSONL file; default: stdout.")
    ] = None,
) -> None:
    """Write the trail as JSON lines."""
    import orjson

    from service.audit import trail as audit

    stream = output.open("wb") if output else sys.stdout.buffer
    with closing(_database()) as database, database.read() as session:
        for row in audit.rows(session):
            fields = ("id", "at", "actor", "action", "subject", "details", "hash")
            stream.write(orjson.dumps({f: getattr(row, f) for f in fields}) + b"\n")
    if output:
        stream.close()


@config_app.command("show")
def config_show() -> None:
    """Print every setting and the environment variable that sets it; passwords are masked."""
    from sqlalchemy import make_url

    from service.settings import Settings

    for name, value in Settings().model_dump().items():
        shown = make_url(value).render_as_string() if name == "database_url" else value
        typer.echo(f"LILIN_{name.upper()}={'' if shown is None else shown}")
