"""A provider for all tests, an access file that trusts it, and a guarded application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.oidc_provider import CLIENT_SECRET, Provider, provider

PEOPLE = {
    "anna": {"name": "Anna Reader", "groups": ["radiology", "north-staff"]},
    "rob": {"name": "Rob Reviewer", "groups": ["radiology", "reviewers", "everywhere"]},
    "audra": {"name": "Audra Auditor", "groups": ["quality"]},
    "adam": {"name": "Adam Admin", "groups": ["admins", "everywhere"]},
    "nils": {"name": "Nils Nobody", "groups": []},
}

ACCESS = """
public_url: {public_url}
login:
  issuer: {issuer}
  client_id: medembed
  client_secret_variable: MEDEMBED_CLIENT_SECRET
  scopes: [openid, profile, groups]
  name: name
roles:
  - {{claim: groups, value: radiology, roles: [reader]}}
  - {{claim: groups, value: reviewers, roles: [reviewer]}}
  - {{claim: groups, value: quality, roles: [auditor]}}
  - {{claim: groups, value: admins, roles: [admin]}}
rows:
  site:
    - {{claim: groups, value: north-staff, sees: [north]}}
    - {{claim: groups, value: south-staff, sees: [south]}}
    - {{claim: groups, value: everywhere, sees: all}}
"""


def write_access(folder: Path, issuer: str, public_url: str, more: str = "") -> Path:
    """Write an access file that trusts a provider."""
    file = folder / "access.yaml"
    file.write_text(ACCESS.format(issuer=issuer, public_url=public_url) + more, encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDEMBED_CLIENT_SECRET", CLIENT_SECRET)


@pytest.fixture(scope="session")
def shared_provider() -> Iterator[Provider]:
    with provider(PEOPLE) as running:
        yield running


@pytest.fixture
def idp(shared_provider: Provider) -> Iterator[Provider]:
    """The provider, as it should behave."""
    usual = dict(vars(shared_provider))
    shared_provider.asked = []
    yield shared_provider
    for name in ("key", "metadata", "change_claims", "sign", "is_down", "people"):
        setattr(shared_provider, name, usual[name])
    shared_provider.codes.clear()
