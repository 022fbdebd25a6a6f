"""What the daemon answers when it refuses: problem details, as RFC 9457 defines them, with two members more.

`code` and `message` are all that a bertd before them sent and reads; both stay.
"""

from __future__ import annotations

import http

from pydantic import Field

from bertd import errors
from bertd.api.models import ErrorView
from bertd.errors import BertdError

PROBLEM_MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:bertd:error:"
"""RFC 9457 lets a type be a URI that leads nowhere; the code after it is in bertd/errors.py."""


class ProblemView(ErrorView):
    """Body of every response that is not 2xx."""

    type: str
    """`urn:bertd:error:` and the code."""
    title: str
    """What the code means; the same for each error of that code."""
    status: int
    """The HTTP status."""
    detail: str
    """Place, value and remedy of this error."""
    hint: str | None
    """What to do, as the detail ends; null where it names nothing."""
    message: str = Field(json_schema_extra={"deprecated": True})
    """The detail again, for a bertd that reads no other member."""


def build_problem(status: int, *, code: str, detail: str) -> ProblemView:
    """The problem of one error.

    Args:
        code: name of the error's class.
    """
    return ProblemView(
        type=_TYPE_PREFIX + code,
        title=_title(code, status=status),
        status=status,
        detail=detail,
        hint=find_remedy(detail),
        code=code,
        message=detail,
    )


def find_remedy(message: str) -> str | None:
    """What follows the last semicolon of an error's message, which by convention is the remedy."""
    _, separator, remedy = message.rpartition("; ")
    return remedy.strip() or None if separator else None


def error_class(code: str) -> type[BertdError]:
    """The class that the daemon raised; ClientError if this bertd does not know it."""
    found = getattr(errors, code, None)
    return found if isinstance(found, type) and issubclass(found, BertdError) else errors.ClientError


def _title(code: str, *, status: int) -> str:
    if status >= 400 and code == "ClientError" and status in set(http.HTTPStatus):
        # One class for all that the framework refuses: its status says more.
        return http.HTTPStatus(status).phrase
    return (error_class(code).__doc__ or code).splitlines()[0]
