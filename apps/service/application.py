"""Build the application: routes, errors, limits, and who may ask, one around the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from apps.case_lookup.dropped import remove_abandoned_folders
from apps.logged_errors import strip_error_messages
from apps.service import case_routes, other_routes, search_routes
from apps.service.description import describe
from apps.service.envelope import Envelope, RateLimit, as_problem, request_id_of
from apps.service.guard import guarded
from apps.service.problems import Problem, ProblemKind, problem_response
from apps.service.service import Service
from apps.service.settings import ServiceSettings

__all__ = ["create_app", "from_environment"]


def create_app(settings: ServiceSettings) -> ASGIApp:
    """Return the ASGI application that serves one library.

    Parameters
    ----------
    settings : ServiceSettings

    Raises
    ------
    InputError
        If others can reach the service and nothing says who may see what.
    LibraryError
        If the folder is not a library.
    """
    service = Service.start(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        remove_abandoned_folders()
        service.served.start()
        yield
        service.close()

    app = FastAPI(
        title="MedEmbed",
        summary="Find the most similar past cases of your own hospital.",
        version=_version(),
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere; /docs is one of our own
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.state.service = service
    for routes in (search_routes, case_routes, other_routes):
        app.include_router(routes.router)
    _answer_errors(app)
    describe(app, settings)
    limited = RateLimit(app, service.buckets, service.metrics)
    return Envelope(guarded(limited, settings), service.metrics)


def from_environment() -> ASGIApp:
    """Return the application of a worker process of ``medembed serve``."""
    strip_error_messages()
    return create_app(ServiceSettings.from_environment())


def _answer_errors(app: FastAPI) -> None:
    """Make every error of a route a problem, of the framework's own too."""

    async def fault(request: Request, error: Exception) -> Response:
        request_id = request_id_of(request.scope)
        return problem_response(as_problem(error, request_id), request_id)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = {
            404: ProblemKind.NOT_FOUND,
            405: ProblemKind.NOT_ALLOWED,
        }.get(error.status_code, ProblemKind.BAD_REQUEST)
        line = {
            ProblemKind.NOT_FOUND: "the service has no such address; /docs lists them",
            ProblemKind.NOT_ALLOWED: "this address does not take this method",
        }.get(kind, "the request cannot be read")
        problem = Problem(kind, line, headers=error.headers)
        return problem_response(problem, request_id_of(request.scope))

    async def unreadable(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name = str(first["loc"][-1])[:60] if first.get("loc") else "the request"
        problem = Problem(ProblemKind.INVALID, f"{name}: {first['msg']}")
        return problem_response(problem, request_id_of(request.scope))

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(Problem, fault)
    app.add_exception_handler(Exception, fault)


def _version() -> str:
    try:
        return version("medembed")
    except PackageNotFoundError:  # run from a checkout
        return "0"
