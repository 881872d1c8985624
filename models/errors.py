"""Errors that a person reads: each message says what is wrong, where, and what to do."""

from __future__ import annotations


class LilinError(Exception):
    """Something the user can put right; the message is the whole story."""

    status = 500
    code = "error"


class ReleaseError(LilinError):
    """The folder of the trained model is missing, incomplete or was changed."""

    code = "release"


class CorpusError(LilinError):
    """A labelled file cannot be used as it is."""

    status = 422
    code = "corpus"


class TrainingError(LilinError):
    """Training, calibration or export cannot go on."""

    code = "training"
