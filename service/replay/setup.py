"""What a replay needs of the desk: the model with its kept scores, and the rules of its settings."""

from __future__ import annotations

from pathlib import Path

from service.replay.run import Rules
from service.replay.scores import FOLDER, KeptScores


def load(
    model: Path | None = None, *, threads: int | None = None, keep: Path = FOLDER
) -> tuple[KeptScores, Rules]:
    """Return the scores of a release (None: the one that ships) and the desk's rules.

    ``keep`` is the folder in which scores are kept.

    Raises:
        BadSettings: a setting will not do.
        ReleaseError: the release is not whole.
    """
    from models.likeness import Space
    from models.scorer import Scorer
    from service.alerts.service import rules_of
    from service.app import queue_rules
    from service.settings import load as load_settings

    settings = load_settings()
    scorer = Scorer.load(model or settings.model, threads=threads)
    return KeptScores(scorer, keep), Rules(
        queue=queue_rules(settings, scorer.thresholds),
        alerts=rules_of(settings),
        space=Space.load(scorer.release.folder),
        flagged=scorer.thresholds.budget_5,
    )
