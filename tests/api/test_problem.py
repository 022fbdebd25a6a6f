"""Problem details: what they say of an error, and that every class has its words."""

from __future__ import annotations

import pytest

from bertd import errors
from bertd.api.models import ErrorView
from bertd.api.problem import build_problem, error_class, find_remedy
from bertd.errors import BertdError, ClientError


def test_a_problem_has_the_members_of_the_standard_and_those_of_an_earlier_bertd() -> None:
    problem = build_problem(409, code="TransitionError", detail="job 7 is done; nothing to pause")
    assert problem.model_dump() == {
        "type": "urn:bertd:error:TransitionError",
        "title": "The job's state does not allow the request.",
        "status": 409,
        "detail": "job 7 is done; nothing to pause",
        "hint": "nothing to pause",
        "code": "TransitionError",
        "message": "job 7 is done; nothing to pause",
    }
    assert ErrorView.model_validate_json(problem.model_dump_json()).message == "job 7 is done; nothing to pause"


@pytest.mark.parametrize(
    "code", [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, BertdError)]
)
def test_every_class_has_a_title_of_its_own(code: str) -> None:
    titles = {build_problem(422, code=name, detail="").title for name in vars(errors) if name != code}
    title = build_problem(422, code=code, detail="").title
    assert title and title not in titles - {"Unprocessable Entity", "Unprocessable Content"}


def test_what_the_framework_refuses_is_titled_by_its_status() -> None:
    assert build_problem(405, code="ClientError", detail="GET /x").title == "Method Not Allowed"


@pytest.mark.parametrize(
    ("message", "remedy"),
    [("a: b; c: d; start it again", "start it again"), ("it is so", None), ("it is so; ", None), ("", None)],
)
def test_the_remedy_is_what_the_message_ends_with(message: str, remedy: str | None) -> None:
    assert find_remedy(message) == remedy


def test_a_code_of_another_bertd_is_a_client_error() -> None:
    assert error_class("ErrorOfANewerDaemon") is ClientError
