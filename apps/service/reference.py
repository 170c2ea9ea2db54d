"""The reference of the service as Markdown, from its OpenAPI description."""

from __future__ import annotations

import json
from typing import Any

from apps.service.description import operations

__all__ = ["service_reference"]

_HEAD = """\
# The service

Generated from the service's OpenAPI description by `tests/service/reference_source.py`; a test
keeps it up to date. [The guide](../guides/service.md) explains limits, errors and who may see what.

Every address may also answer 401, 429 and 500. All errors are `application/problem+json` (RFC
9457): `type`, `title`, `status`, `detail`, `request_id`."""

_ALWAYS = ("401", "429", "500")


def service_reference(openapi: dict[str, Any]) -> str:
    """Format the description of all operations and models as Markdown.

    Parameters
    ----------
    openapi : dict
    """
    parts = [_HEAD]
    for operation in operations(openapi):
        parts.append(f"## {operation['method']} {operation['path']}\n\n{_about(operation)}")
        parts += _tables(operation)
    parts.append("## Models")
    for name, schema in sorted(openapi["components"]["schemas"].items()):
        rows = [
            f"| `{field}` | {_type(about)} | {_cell(about.get('description', ''))} |"
            for field, about in schema.get("properties", {}).items()
        ]
        about = _cell(schema.get("description", "").partition("\n\n")[0])
        table = "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])
        parts.append(f"### {name}\n\n{about}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _about(operation: dict[str, Any]) -> str:
    return f"{operation['summary']}. {operation['description'].strip()}"


def _tables(operation: dict[str, Any]) -> list[str]:
    parts = []
    parameters = operation.get("parameters", [])
    if parameters:
        rows = [f"| `{p['name']}` | {p['in']} | {_cell(p['description'])} |" for p in parameters]
        parts.append("\n".join(["| parameter | in | meaning |", "|---|---|---|", *rows]))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        several = content.get("examples", {"": {"value": content.get("example")}})
        for named in several.values():
            title = named.get("summary", "Request")
            parts.append(f"{title} (`{kind}`):\n\n{_block(named['value'])}")
    answers = []
    for status, response in operation["responses"].items():
        if status not in _ALWAYS:
            kinds = ", ".join(f"`{kind}`" for kind in response.get("content", {}))
            what = _cell(response["description"]) if status != "200" else kinds
            answers.append(f"| {status} | {what} |")
    parts.append("\n".join(["| status | answer |", "|---|---|", *answers]))
    return parts


def _block(example: Any) -> str:
    text = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
    return "\n".join(f"    {line}" for line in text.strip().splitlines())


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _linked(schema["$ref"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _linked(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
