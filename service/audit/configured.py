"""Settings in the audit trail: they live in the environment, so each start tells what is new."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.audit import trail as audit
from service.settings import Settings
from service.tables import AuditRow

_ACTION = "settings.change"


def note_settings(session: Session, settings: Settings, *, actor: str) -> bool:
    """Write down the settings that are not the defaults, if they are not those of the last start.

    Returns whether there was something to write. Secrets are masked.
    """
    defaults = Settings.model_construct()
    found = {
        name: str(getattr(settings, name))
        for name in Settings.model_fields
        if str(getattr(settings, name)) != str(getattr(defaults, name))
    }
    last = session.scalar(
        select(AuditRow).where(AuditRow.action == _ACTION).order_by(AuditRow.id.desc()).limit(1)
    )
    if found == (last.details if last else {}):
        return False
    audit.record(session, actor=actor, action=_ACTION, subject="settings", **found)
    return True
