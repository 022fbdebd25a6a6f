"""Requests that schemathesis makes of the OpenAPI document, right and wrong ones, over the socket of a real daemon.

fuzz_cases.py says how many. Nothing here asserts on time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from bertd.api.problem import PROBLEM_MEDIA_TYPE, ProblemView
from bertd.jobs.store.lifecycle import ENDED
from tests.daemon.api.fuzz_cases import IS_RANDOM, NUM_CASES
from tests.daemon.api.unix_requests import BASE_URL, unix_session
from tests.daemon.daemon_box import DaemonBox

_NOT_SENT = ("/v1/events", "/v1/shutdown")
"""A stream does not end, and a shutdown ends the daemon: test_event_stream.py and test_audit_route.py have them."""
_KNOWN_IDS = ("1", "2", "@", "1-fake", "cpu")
"""Of jobs that are there, and of a device; generated ones name nothing."""
_MOST_GROWN_BYTES = 60e6
_MOST_GROWN_FILES = 10

load_all_checks()
# Not response_schema_conformance: schemathesis 4.32 makes of prefixItems, which JSON Schema 2020-12 has for pairs, what
# only earlier drafts allow, and then refuses it. _require_schema does the same by jsonschema.
_CHECKS = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
    ]
)


@pytest.fixture(scope="module")
def box(_shared: DaemonBox) -> Iterator[DaemonBox]:
    """A daemon with a run that has ended and one that is held."""
    _shared.release()
    done = _shared.submit(steps=3)
    _shared.client.submit(_shared.pretraining(hold=True))
    _shared.wait_for_state(done.id, *ENDED)
    yield _shared
    _shared.clear()


@pytest.fixture(scope="module")
def session(box: DaemonBox) -> Iterator[requests.Session]:
    with unix_session(box.socket) as session:
        yield session


@pytest.fixture(scope="module")
def document(session: requests.Session) -> Any:
    """As the daemon serves it."""
    return session.get(f"{BASE_URL}/openapi.json").json()


def _require_schema(document: Any, case: Any, response: requests.Response) -> None:
    described = document["paths"][case.operation.path][case.operation.method]["responses"][str(response.status_code)]
    media_type = response.headers["content-type"][0].partition(";")[0]
    if media_type.endswith("json"):
        schema = described["content"][media_type]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(json.loads(response.content))


def test_every_answer_is_as_the_document_says(box: DaemonBox, session: requests.Session, document: Any) -> None:
    schema: Any = schemathesis.openapi.from_dict(document)
    for path in _NOT_SENT:
        schema = schema.exclude(path=path)
    assert box.process is not None
    process = psutil.Process(box.process.pid)
    memory, files = process.memory_info().rss, process.num_fds()
    cases = st.one_of([schema.as_strategy(mode) for mode in GenerationMode])
    answered: dict[int, int] = {}

    @settings(
        max_examples=NUM_CASES,
        deadline=None,
        derandomize=not IS_RANDOM,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases, st.none() | st.sampled_from(_KNOWN_IDS))
    def send(case: Any, known_id: str | None) -> None:
        if known_id is not None and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = known_id
        response = case.call(base_url=BASE_URL, session=session)
        answered[response.status_code] = answered.get(response.status_code, 0) + 1
        case.validate_response(response, checks=_CHECKS)
        _require_schema(document, case, response)
        if response.status_code >= 400:
            assert response.headers["content-type"][0] == PROBLEM_MEDIA_TYPE
            assert ProblemView.model_validate_json(response.content).status == response.status_code

    send()
    assert sum(answered.values()) >= NUM_CASES
    assert {200, 404, 422} <= set(answered), "the cases reach what is behind the parameters"
    assert "Traceback" not in box.log
    assert box.answers()
    assert process.memory_info().rss - memory < _MOST_GROWN_BYTES
    session.close()
    assert process.num_fds() - files < _MOST_GROWN_FILES
