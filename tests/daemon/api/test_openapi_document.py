"""The OpenAPI document as generators of clients need it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic.warnings import UnsupportedFieldAttributeWarning

from tests.daemon.api.in_process_api import InProcessApi


@pytest.fixture
def document(api: InProcessApi) -> Any:
    """As it is served, for the second time."""
    api.ask("GET", "/openapi.json")
    return api.ask("GET", "/openapi.json").json


def test_it_is_valid_and_each_operation_has_a_name_of_its_own_and_its_resource_as_tag(document: Any) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    operations = [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
    assert len({each["operationId"] for _, each in operations}) == len(operations) > 30
    for path, each in operations:
        assert each["operationId"].isidentifier() and each["summary"]
        assert each["tags"] == [path.removeprefix("/v1").split("/")[1]]


def test_each_operation_has_one_kind_of_success_with_a_schema(document: Any) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            (success,) = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for media_type, content in success["content"].items():
                assert content["schema"], f"{method} {path}: {media_type}"


def test_a_body_that_may_be_left_out_is_not_described_as_null(document: Any, api: InProcessApi) -> None:
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    optional = [each["requestBody"] for each in operations if "requestBody" in each]
    optional = [body for body in optional if not body.get("required")]
    assert optional
    for body in optional:
        assert "$ref" in body["content"]["application/json"]["schema"]
    job = api.submit()
    assert api.ask("POST", f"/v1/jobs/{job}/resume").status == api.ask("POST", f"/v1/jobs/{job}/resume", {}).status


def test_every_reference_leads_to_a_schema_with_a_description_of_each_choice(document: Any) -> None:
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    names = {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}
    assert names <= set(schemas)
    assert schemas["ProblemView"]["properties"]["message"]["deprecated"] is True


def test_neither_the_document_nor_a_request_with_a_body_warns_in_the_log(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        api = InProcessApi(tmp_path)
        api.ask("GET", "/openapi.json")
        job = api.submit()
        api.ask("POST", f"/v1/jobs/{job}/resume", {"devices": 1})
        api.close()
    assert [str(each.message) for each in found if each.category is UnsupportedFieldAttributeWarning] == []
