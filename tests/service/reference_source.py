"""Write docs/reference/service.md from the OpenAPI description of the service."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.testclient import TestClient

from apps.service import ServiceSettings, create_app
from apps.service.reference import service_reference
from medembed.library import CaseLibrary

PAGE = Path(__file__).parents[2] / "docs/reference/service.md"


def reference() -> str:
    """Format the reference of a service with its default limits."""
    with tempfile.TemporaryDirectory() as folder:
        CaseLibrary.create(Path(folder) / "library").close()
        app = create_app(ServiceSettings(Path(folder) / "library"))
        client = TestClient(app, "http://127.0.0.1:8600")
        return service_reference(client.get("/openapi.json").json())


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
