"""A client of the service that ``medembed serve`` runs; needs nothing but Python itself."""

from medembed.client.answers import CaseRecord, Found, FoundCase, ScanRecord, ServiceError
from medembed.client.client import Client

__all__ = ["CaseRecord", "Client", "Found", "FoundCase", "ScanRecord", "ServiceError"]
