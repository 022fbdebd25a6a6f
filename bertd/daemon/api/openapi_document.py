"""Complete FastAPI's OpenAPI document for programs that generate a client from it."""

from __future__ import annotations

from typing import Any

from bertd.api.problem import ProblemView

_COMPONENTS = "#/components/schemas/{model}"


def complete_document(document: dict[str, Any]) -> dict[str, Any]:
    """The same document, changed in place: what every refusal refers to, tags, and bodies that may be left out.

    A tag is the resource in the path, by which generators part their modules. A body that may be left out is described
    without null: generators turn `object or null` into code that sends neither an object nor nothing.
    """
    schema = ProblemView.model_json_schema(ref_template=_COMPONENTS)
    document["components"]["schemas"][ProblemView.__name__] = schema
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["tags"] = [path.removeprefix("/v1").split("/")[1]]
            if (body := operation.get("requestBody")) is not None and not body.get("required"):
                content = body["content"]["application/json"]
                content["schema"] = _without_null(content["schema"])
    return document


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema
