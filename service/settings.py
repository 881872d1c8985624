"""The desk's settings: environment variables that begin with ``LILIN_``, and their defaults.

The docstring under a field is its meaning, as ``lilin config show`` prints it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from service.alerts.targets import Allowed, is_mail_address, only
from service.errors import BadSettings, BadTarget

PREFIX: Final = "LILIN_"
OTHER_VARIABLES: Final = frozenset({"LILIN_DATA_DIR"})
"""What other parts of Lilin read: not settings of the desk, and no typing errors."""
_SECRET_PARTS: Final = ("password", "passfile", "sslpassword", "sslkey")


class DatabaseUrl(SecretStr):
    """A database's URL; wherever it is shown, its password is not."""

    def _display(self) -> str:
        try:
            url = make_url(self.get_secret_value())
        except (ArgumentError, ValueError):
            return "***"
        hidden = {name: "***" for name in url.query if name in _SECRET_PARTS}
        return url.update_query_dict(hidden).render_as_string(hide_password=True)


class Settings(BaseSettings):
    """Every setting of the desk; ``lilin config show`` prints them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        use_attribute_docstrings=True,
        validate_default=True,
    )

    database_url: DatabaseUrl | str = DatabaseUrl("sqlite:///build/lilin.db")
    """Where the data is kept: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/NAME."""
    model: Path | None = None
    """Folder of the release that scores; empty: the one that ships."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads that score, in each process; empty: the cores, shared among the processes."""

    queue_threshold: float | None = Field(default=None, ge=0, le=1)
    """Risk from which a post is queued; empty: the model's cut for a 5 % review budget."""
    half_life_hours: float = Field(default=12.0, gt=0, le=8760)
    """Hours after which an item weighs half in the order of the queue."""
    claim_minutes: float = Field(default=10.0, gt=0, le=1440)
    """Minutes for which a claim keeps an item from others."""
    hours_to_decide: float = Field(default=4.0, gt=0, le=8760)
    """Hours from first sight until an item is overdue."""
    second_review_share: float = Field(default=0.05, ge=0, le=1)
    """Share of the items that get a second, blind verdict."""

    secure_cookies: bool = False
    """Send the session's cookie over HTTPS alone; set it where a proxy ends TLS before the desk."""
    trusted_proxies: str = Field(default="", max_length=1000)
    """Addresses or networks, with commas between, whose X-Forwarded-For and -Proto are believed."""
    metrics: Literal["loopback", "key"] = "loopback"
    """Who reads /metrics without a key that may read: this machine (loopback), or nobody (key)."""
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Port on 127.0.0.1 where `lilin worker` shows its metrics; empty: it does not."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least weight of what is logged."""

    base_url: str = Field(
        default="http://127.0.0.1:8000", max_length=300, pattern=r"^https?://[^\s?#\"<>|]+$"
    )
    """Where people reach the desk: links in alerts begin with it."""

    requests_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    """Requests to /v1 that each key or account may make in a minute, over all processes; 0: any."""
    retention_days: int = Field(default=365, ge=0, le=36_500)
    """Days after which `lilin purge` deletes posts that are not open in the queue; 0: never."""

    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=10_000, le=1024**3)
    """Largest body of a request, in bytes."""
    feeds_folder: Path = Path("build/feeds")
    """Folder that keeps uploaded feeds; all workers must see it."""
    max_feed_bytes: int = Field(default=1024**3, ge=1000, le=1024**4)
    """Largest feed that can be uploaded, in bytes as it lies on the disk."""
    max_expanded_bytes: int = Field(default=4 * 1024**3, ge=1000, le=1024**5)
    """Bytes that a feed may unpack to; beyond, it is refused as a zip bomb."""
    worker_in_service: bool = True
    """Score feeds in `lilin serve` itself; false: leave it to `lilin worker`."""
    waiting_chars: int = Field(default=400_000, ge=1000, le=1_000_000_000)
    """Characters that may wait to be scored before the desk answers "busy"."""

    webhook_hosts: str = Field(default="", max_length=2000)
    """Hosts, host:port or networks, with commas between, that webhooks may reach though private."""
    telegram_token: SecretStr | None = None
    """Token of the Telegram bot that sends alerts; empty: no Telegram."""
    telegram_api: str = Field(default="https://api.telegram.org", max_length=500)
    """Address of Telegram's Bot API, or of a server of one's own that speaks it."""
    smtp_host: str = Field(default="", max_length=253)
    """Mail server that takes alerts; empty: no e-mail."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Port of the mail server."""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    """How the way to the mail server is secured; none: only on this machine or a trusted network."""
    smtp_user: str = Field(default="", max_length=320)
    """Name at the mail server; empty: it asks for none."""
    smtp_password: SecretStr = SecretStr("")
    """Password at the mail server."""
    smtp_from: str = Field(default="", max_length=254)
    """Address that alerts come from; needed with smtp_host."""

    @field_validator("database_url", mode="before")
    @classmethod
    def _hidden(cls, value: object) -> object:
        return DatabaseUrl(value) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for part in networks(value):
            ip_network(part)
        return value

    @field_validator("webhook_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        Allowed.of(value)
        return value

    @field_validator("telegram_token")
    @classmethod
    def _token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\w:-]{1,200}", value.get_secret_value()):
            raise ValueError("a bot's token has digits, letters, colons, dashes and underscores")
        return value

    @field_validator("telegram_api")
    @classmethod
    def _api(cls, value: str) -> str:
        try:
            only(value)
        except BadTarget as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("smtp_from")
    @classmethod
    def _sender(cls, value: str, info: ValidationInfo) -> str:
        if (value or info.data.get("smtp_host")) and not is_mail_address(value):
            raise ValueError("write one e-mail address")
        return value


def networks(value: str) -> list[str]:
    """Return the addresses and networks of a list with commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def load() -> Settings:
    """Return the settings of the environment.

    Raises:
        BadSettings: a value will not do; the message names the variable, never the value.
    """
    try:
        return Settings()
    except ValidationError as error:
        said = "; ".join(
            f"{PREFIX}{'.'.join(str(p) for p in e['loc']).upper()}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise BadSettings(f"a setting will not do: {said}") from None


def typing_errors(environment: Iterable[str]) -> str | None:
    """Return one line about variables that look like misspelt settings, None if there are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    found = []
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
            if near:
                found.append(f"{name} (did you mean {near[0]}?)")
    return f"settings that Lilin does not know: {', '.join(found)}" if found else None


def shown(settings: Settings) -> str:
    """Return every setting as ``VARIABLE=value`` under its meaning; secrets are masked."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        said = str(value).lower() if isinstance(value, bool) else str(value)
        lines += [
            f"# {field.description}",
            f"{PREFIX}{name.upper()}={'' if value is None else said}",
        ]
    return "\n".join(lines)
