"""The OpenAPI description: bodies, problems and examples that FastAPI cannot know; its page."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import FastAPI

from apps.service import examples
from apps.service.answers import ProblemAnswer
from apps.service.batch import NDJSON
from apps.service.problems import PROBLEM_TYPE, ProblemKind
from apps.service.query import SearchQuery
from apps.service.settings import ServiceSettings

__all__ = ["BATCH_BODY", "QUERY_BODY", "STYLE", "describe", "docs_page", "operations", "problems"]

_QUERY = {"$ref": "#/components/schemas/SearchQuery"}

QUERY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _QUERY, "examples": examples.QUERIES},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "query": _QUERY,
                        "image": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "DICOM, PNG, JPEG or NIfTI; several DICOM files are "
                            "one series.",
                        },
                    },
                },
                "encoding": {"query": {"contentType": "application/json"}},
                "example": {"query": {"k": 5}, "image": ["(the bytes of a file)"]},
            },
        },
    }
}

BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One query a line.",
        "content": {NDJSON: {"schema": {"type": "string"}, "example": examples.BATCH}},
    }
}

_ALWAYS = (401, 429, 500)

_EXAMPLES: dict[str, tuple[str, Any]] = {
    "POST /v1/search": ("application/json", examples.SEARCH),
    "POST /v1/search/batch": (NDJSON, examples.BATCH_ANSWER),
    "GET /v1/cases/{case_id}": ("application/json", examples.CASE),
    "GET /v1/cases/{case_id}/scans/{scan}/metadata": (
        "application/dicom+json",
        examples.METADATA,
    ),
    "GET /v1/reviews": ("application/json", examples.REVIEWS),
    "GET /v1/reviews/{link}": ("application/json", examples.REVIEW),
    "GET /v1/audit": ("application/json", examples.AUDIT),
    "GET /healthz": ("application/json", examples.HEALTH),
    "GET /readyz": ("application/json", examples.READY),
    "GET /metrics": ("text/plain", examples.METRICS),
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems that a route may answer with, and those that any may."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, *_ALWAYS}):
        kind = next(kind for kind in ProblemKind if kind.status == status)
        example = {
            "type": kind.type,
            "title": kind.title,
            "status": status,
            "detail": examples.PROBLEM_LINES[status],
            "request_id": "0f1c2d3e4a5b6978",
        }
        found[status] = {
            "description": kind.title,
            "content": {
                PROBLEM_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemAnswer"},
                    "example": example,
                }
            },
        }
    return found


def describe(app: FastAPI, settings: ServiceSettings) -> None:
    """Add to the application's OpenAPI description what it takes and answers beyond its models."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        found = generate()
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        for model in (SearchQuery, ProblemAnswer):
            schemas[model.__name__] = model.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
        schemas["SearchQuery"]["properties"]["k"]["maximum"] = settings.max_k
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        if settings.access is not None:
            found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            found["security"] = [{"token": []}]
        for operation in operations(found):
            _add_examples(operation)
        app.openapi_schema = found
        return found

    app.openapi = openapi  # type: ignore[method-assign]


def operations(openapi: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the operations in the order of their routes, each with ``method`` and ``path``."""
    return [
        operation | {"method": method.upper(), "path": path, "described": operation}
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]


def _add_examples(operation: dict[str, Any]) -> None:
    described = operation["described"]
    for parameter in described.get("parameters", []):
        parameter["example"] = examples.PARAMETERS[parameter["name"]]
    kind, example = _EXAMPLES.get(f"{operation['method']} {operation['path']}", ("", None))
    if kind:
        content = described["responses"]["200"].setdefault("content", {})
        content.setdefault(kind, {})["example"] = example


STYLE = """
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif;
  background: #0d1012; color: #d7dde2; }
h1, h2 { font-weight: 600; } h2 { margin: 2.5rem 0 .3rem; font-size: 1.05rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: #161b1f; padding: .8rem 1rem; overflow: auto; border-radius: 6px; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem 1rem .2rem 0;
  vertical-align: top; } a { color: #8ec5ff; } .method { color: #8fd19e; }
@media (prefers-color-scheme: light) { body { background: #fff; color: #1a1f24; }
  pre { background: #f1f4f6; } a { color: #0b57d0; } .method { color: #19692c; } }
@media print { body { background: #fff; color: #000; } }
"""


def docs_page(openapi: dict[str, Any]) -> str:
    """Return a page with all operations, their parameters and examples."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MedEmbed service</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/docs/style.css"></head><body><main>',
        f"<h1>MedEmbed service {escape(openapi['info']['version'])}</h1>",
        '<p>Machine-readable: <a href="/openapi.json">openapi.json</a>. '
        "Errors are RFC 9457 problem details.</p>",
    ]
    for operation in operations(openapi):
        parts.append(
            f'<h2><span class="method">{operation["method"]}</span> '
            f"<code>{escape(operation['path'])}</code></h2>"
            f"<p><strong>{escape(operation['summary'])}.</strong> "
            f"{escape(operation.get('description', ''))}</p>"
        )
        rows = [
            f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}</td>"
            f"<td>{escape(p.get('description', ''))}</td></tr>"
            for p in operation.get("parameters", [])
        ]
        if rows:
            parts.append(f"<table>{''.join(rows)}</table>")
        for title, example in _shown(operation):
            parts.append(f"<p>{escape(title)}</p><pre>{escape(example)}</pre>")
    return "".join([*parts, "</main></body></html>"])


def _shown(operation: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the examples of an operation, request first, as texts."""
    found: list[tuple[str, str]] = []
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        several = content.get("examples", {"": {"value": content.get("example")}})
        for named in several.values():
            title = f"{named.get('summary', 'Request')} ({kind})"
            found.append((title, _text(named["value"])))
    for kind, content in operation["responses"]["200"].get("content", {}).items():
        if content.get("example") is not None:
            found.append((f"Answer ({kind})", _text(content["example"])))
    return found


def _text(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=1)
