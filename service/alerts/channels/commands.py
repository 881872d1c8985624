"""The commands of channels: ``lilin channel`` and ``lilin listen``."""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from typing import Annotated, Final

import typer

channel_app = typer.Typer(help="Channels on which alerts are sent.", no_args_is_help=True)
ACTOR: Final = "command line"


@channel_app.callback()
def _channel() -> None:
    """Channels on which alerts are sent."""


@channel_app.command("add")
def channel_add(
    name: str,
    kind: Annotated[str, typer.Argument(help="webhook, email, telegram or slack.")],
    target: Annotated[
        str, typer.Argument(help="URL, e-mail address, or number or @name of a chat.")
    ],
    digest: Annotated[str, typer.Option(help="hourly or daily; empty: at once.")] = "",
    quiet: Annotated[
        str, typer.Option(metavar="FROM-TO", help="Hours (WIB) in which nothing is sent, as 22-6.")
    ] = "",
) -> None:
    """Make a channel; of a webhook, print the secret that its messages are signed with, once."""
    from datetime import UTC, datetime

    from service.alerts.channels import service as channels
    from service.database import Database
    from service.settings import load

    settings = load()
    quiet_from, quiet_to = _hours(quiet)
    new = channels.NewChannel(
        name=name,
        kind=kind,
        target=target,
        digest=digest,
        quiet_from=quiet_from,
        quiet_to=quiet_to,
    )
    checked = channels.check(new, settings=settings)
    with closing(Database(settings.database_url)) as database, database.write() as session:
        _, secret = channels.add(session, checked, account=None, now=datetime.now(UTC), actor=ACTOR)
    if secret is not None:
        typer.echo(secret)


def _hours(quiet: str) -> tuple[int | None, int | None]:
    if not quiet:
        return None, None
    begin, _, end = quiet.partition("-")
    if not (begin.isdecimal() and end.isdecimal()):
        raise typer.BadParameter("two hours with a dash between, as 22-6", param_hint="--quiet")
    return int(begin), int(end)


def listen(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8899,
    secret: Annotated[
        str | None,
        typer.Option(help="The webhook's secret; without it signatures are not checked."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many different messages.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="The same as --count 1.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds to wait at most; ends with 1 if too little came."),
    ] = None,
) -> None:
    """Receive webhooks on this machine and say each alert in plain words, to try them out.

    Set LILIN_WEBHOOK_HOSTS=127.0.0.1:8899 for the desk, so that it may send here.
    """
    from service.alerts.listen import Listener
    from service.errors import BadChannel

    def say(text: str) -> None:
        typer.echo(text)
        sys.stdout.flush()

    wanted = 1 if once else count
    try:
        listener = Listener(port, secret=secret, say=say)
    except OSError:
        raise BadChannel(f"port {port} is taken or may not be used; try another") from None
    came = True
    with listener, suppress(KeyboardInterrupt):
        say(f"Menunggu pesan di {listener.url} (berhenti dengan Ctrl-C)")
        came = listener.wait(wanted, timeout)
    if wanted is not None and not came:
        raise typer.Exit(1)
