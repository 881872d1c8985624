"""What can go wrong at the desk, each with a message for the person who meets it.

``status`` is the HTTP status of the answer, ``retry_after`` the seconds after which to try again.
"""

from __future__ import annotations

from models.errors import LilinError


class DeskError(LilinError):
    """Base of the desk's errors."""

    retry_after: int | None = None


class DatabaseUnavailable(DeskError):
    """The database is locked, gone, or none that Lilin runs on."""

    status = 503
    code = "database"
    retry_after = 2


class BadSettings(DeskError):
    """A setting's value will not do."""

    code = "settings"


class Busy(DeskError):
    """Too much is waiting to be scored."""

    status = 429
    code = "busy"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too much is waiting to be scored; try again in {retry_after} s")
        self.retry_after = retry_after


class TooOften(DeskError):
    """Someone does something more often than the limit allows."""

    status = 429
    code = "too-often"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CrossSite(DeskError):
    """A form or script of another site tried to act in the name of a signed-in person."""

    status = 403
    code = "cross-site"


class Stopping(DeskError):
    """The service is stopping and takes nothing more."""

    status = 503
    code = "stopping"
    retry_after = 5


class AuditBroken(DeskError):
    """The audit trail is not what was written."""

    code = "audit"


class NotSignedIn(DeskError):
    """There is no valid key or session with the request."""

    status = 401
    code = "not-signed-in"


class WrongPassword(DeskError):
    """The old password is wrong; the person stays signed in."""

    status = 403
    code = "wrong-password"


class MustChangePassword(DeskError):
    """The account still has its one-time password."""

    status = 403
    code = "must-change-password"


class NotAllowed(DeskError):
    """The person or the key may not do this."""

    status = 403
    code = "not-allowed"


class BadName(NotAllowed):
    """No account can have this name."""

    status = 422
    code = "bad-name"


class NameTaken(NotAllowed):
    """There is an account of this name already."""

    status = 409
    code = "name-taken"


class BadPassword(NotAllowed):
    """The new password is too short, too long, too plain, or the old one."""

    status = 422
    code = "bad-password"


class BadScopes(NotAllowed):
    """A key would allow nothing, or more than its account's role."""

    status = 422
    code = "bad-scopes"


class PrivateSearch(NotAllowed):
    """A search could tell what is masked for the one who searches."""

    code = "private-search"


class LastAdmin(DeskError):
    """Without this account nobody could manage the desk."""

    status = 409
    code = "last-admin"


class NotFound(DeskError):
    """There is no such item, post or account."""

    status = 404
    code = "not-found"


class Taken(DeskError):
    """Someone else is working on the item, or it is decided."""

    status = 409
    code = "taken"


class NotYours(DeskError):
    """The step needs a claim that the person has not."""

    status = 409
    code = "not-yours"


class BadNarratives(DeskError):
    """These narratives or posts cannot be merged or split."""

    status = 409
    code = "narratives"


class NothingToUndo(DeskError):
    """The person has no verdict that can be taken back."""

    status = 409
    code = "nothing-to-undo"


class UsedOtherwise(DeskError):
    """An ``Idempotency-Key`` came again with another request."""

    status = 422
    code = "key-used-otherwise"


class BadClarification(DeskError):
    """A clarification will not do; the message says which field, and why."""

    status = 422
    code = "bad-clarification"


class BadChannel(DeskError):
    """A channel cannot be made or changed like this; the message says why."""

    status = 422
    code = "bad-channel"


class BadTarget(BadChannel):
    """Nothing may be sent to this URL; ``reason`` is why: url, name, https, private."""

    code = "bad-target"

    def __init__(self, message: str, reason: str = "url") -> None:
        super().__init__(message)
        self.reason = reason


class NotDead(DeskError):
    """Only a delivery that was given up can be sent again."""

    status = 409
    code = "not-dead"
