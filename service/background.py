"""What works behind the pages: the early warning, and the senders of its alerts."""

from __future__ import annotations

from models.likeness import Space
from service.alerts.channels.service import carriers
from service.alerts.sender import Senders
from service.alerts.service import rules_of
from service.clarifications.nearest import Clarifications
from service.database import Database
from service.narratives.loop import EarlyWarning
from service.operations.metrics import Metrics
from service.operations.processes import cores
from service.settings import Settings


class Background:
    """The early warning and the senders of one process, in threads of their own."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        space: Space,
        metrics: Metrics,
        clarifications: Clarifications,
    ) -> None:
        rules = rules_of(settings, clarifications.nearest_to)
        self.warning = EarlyWarning(database, space, rules, second_process=cores() > 1)
        self.senders = Senders(database, carriers(settings), on_tried=metrics.delivered)

    def start(self) -> None:
        """Work until ``close``."""
        self.warning.start()
        self.senders.start()

    def drain(self) -> None:
        """Group, measure and send what is there now, here and not in threads.

        Raises:
            DatabaseUnavailable: the database is gone or locked.
        """
        self.warning.drain()
        self.senders.drain()

    def close(self) -> None:
        """Finish what is in hand, and return."""
        self.senders.stop()
        self.warning.close()
        self.senders.close()
