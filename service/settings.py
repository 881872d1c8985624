"""The desk's settings: environment variables that begin with ``LILIN_``, and their defaults."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting of the desk; ``lilin config show`` prints them."""

    model_config = SettingsConfigDict(env_prefix="LILIN_", extra="ignore")

    database_url: str = "sqlite:///build/lilin.db"
    model: Path | None = None
    """Folder of the release; None: the shipped one."""
    threads: int | None = Field(default=None, ge=1)
    """Threads that score; None: one per core."""

    queue_threshold: float | None = Field(default=None, ge=0, le=1)
    """Risk from which a post is queued; None: the model's cut for a 5 % review budget."""
    half_life_hours: float = Field(default=12.0, gt=0)
    claim_minutes: float = Field(default=10.0, gt=0)
    hours_to_decide: float = Field(default=4.0, gt=0)
    second_review_share: float = Field(default=0.05, ge=0, le=1)

    secure_cookies: bool = False
    """Send the session's cookie over HTTPS alone; set it where a proxy ends TLS before the desk."""

    max_text_chars: int = Field(default=20_000, ge=100)
    max_body_bytes: int = Field(default=8 * 1024 * 1024, ge=10_000)
    waiting_chars: int = Field(default=400_000, ge=1000)
    """Characters that may wait to be scored before the desk answers "busy"."""
