"""The application: the page, its files, the API and how faults are answered. The guard decides who may ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import gaid
from gaid.console import say
from gaid.errors import DataMissing, GaidError, MediaError
from gaid.report.html import environment
from gaid.server.answers import FaultAnswer, fault_content
from gaid.server.api import make_api
from gaid.server.guard import Guard, Rules
from gaid.server.library import API, ServedLibrary
from gaid.server.refusal import Refusal
from gaid.server.renewal import Renewal
from gaid.server.served import Served

HERE = Path(__file__).parent


def make_app(library: ServedLibrary, rules: Rules, renewal: Renewal | None = None) -> Guard:
    """The page, its files and the API of a library, guarded by `rules`. `renewal` opens the library again when it has changed."""
    served = Served(library)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(served.follow(renewal)) if renewal is not None else None
        yield
        if following is not None:
            following.cancel()
        await served.close()

    app = FastAPI(
        title="gaid", version=gaid.__version__, summary="Search of a library of videos by sentence, picture and sound.",
        openapi_url=f"{API}/openapi.json", docs_url=None, redoc_url=None, lifespan=lifespan,
    )  # fmt: skip
    templates = environment("gaid.server")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return templates.get_template("index.html").render(version=gaid.__version__, name=served.library.store.dataset)

    @app.get("/static/tokens.css", include_in_schema=False)
    async def tokens() -> Response:
        """The colours of the reports' pages."""
        return Response(templates.get_template("tokens.css").render(), media_type="text/css")

    @app.get(f"{API}/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        return templates.get_template("api.html").render(version=gaid.__version__, api=app.openapi())

    app.include_router(
        make_api(served), prefix=API, responses={"4XX": {"model": FaultAnswer}, 503: {"model": FaultAnswer}}
    )
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _answer_faults(app, served)
    return Guard(app, rules)


def _answer_faults(app: FastAPI, served: Served) -> None:
    """Every fault as JSON of one form, without a trace of where it was raised."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return JSONResponse(fault_content(error.kind, error.message), error.status, error.headers)

    @app.exception_handler(GaidError)
    async def of_ours(request: Request, error: GaidError) -> JSONResponse:
        if isinstance(error, MediaError):  # its text names the file
            return JSONResponse(fault_content("MediaError", f"the file can't be used: {error.reason}"), 422)
        status = 404 if isinstance(error, DataMissing) else 400
        return JSONResponse(fault_content(type(error).__name__, served.library.without_paths(str(error))), status)

    @app.exception_handler(RequestValidationError)
    async def of_the_form(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(fault_content("RequestInvalid", _describe(error.errors())), 422)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(fault_content("HTTP", str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        say(f"{request.url.path}: an unexpected error, {type(error).__name__}: {error}")
        return JSONResponse(fault_content("Unexpected", "an unexpected error; the server's terminal names it"), 500)


def _describe(errors: Any) -> str:
    """Faults of a request's parameters in one line, without what was sent."""
    return "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or 'request'}: {one['msg']}" for one in errors[:5])
