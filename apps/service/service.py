"""The noun :class:`Service`: what the routes of one worker use."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from apps.service.metrics import Metrics
from apps.service.rate import Buckets
from apps.service.served import ServedLibrary
from apps.service.settings import ServiceSettings
from apps.service.slots import Slots

__all__ = ["Service", "service_of"]


@dataclass(frozen=True)
class Service:
    """What the routes of one worker use.

    Parameters
    ----------
    settings : ServiceSettings
    served : ServedLibrary
    metrics : Metrics
    buckets : Buckets
        Of each client's rate.
    searches, pictures : Slots
        Searches and decoded scans at a time.
    """

    settings: ServiceSettings
    served: ServedLibrary
    metrics: Metrics
    buckets: Buckets
    searches: Slots
    pictures: Slots

    @classmethod
    def start(cls, settings: ServiceSettings) -> Service:
        """Open the library and set the limits.

        Raises
        ------
        LibraryError
            If the folder is not a library.
        """
        metrics, folder = Metrics(), settings.run_folder
        return cls(
            settings,
            ServedLibrary(settings.library, metrics),
            metrics,
            Buckets(settings.rate, None if folder is None else folder / "rate"),
            Slots(settings.searches, settings.queue, settings.seconds, "search"),
            Slots(2, 4 * settings.queue, settings.seconds, "picture"),
        )

    def close(self) -> None:
        """Stop the threads and worker processes, and close the library."""
        self.searches.close()
        self.pictures.close()
        self.served.close()
        self.buckets.close()


def service_of(request: Request) -> Service:
    """Return what the routes of this application use."""
    service = request.app.state.service
    if not isinstance(service, Service):
        raise TypeError("this application is not the service's")
    return service
