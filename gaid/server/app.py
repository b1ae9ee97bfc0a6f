"""The application: which address answers what. The guard decides who may ask; the library answers."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import gaid
from gaid.errors import DataMissing, GaidError, MediaError
from gaid.report.html import environment
from gaid.server.answers import AskedByText, FaultAnswer, LibraryFacts, SearchAnswer, fault_content
from gaid.server.guard import Guard, Rules
from gaid.server.library import API, ServedLibrary
from gaid.server.turns import Busy, Turns

HERE = Path(__file__).parent


class Served:
    """What the routes share."""

    def __init__(self, library: ServedLibrary) -> None:
        self.library, self.turns = library, Turns()


def make_app(library: ServedLibrary, rules: Rules) -> FastAPI:
    """The page, its files and the API of a library, guarded by `rules`."""
    app = FastAPI(
        title="gaid", version=gaid.__version__, summary="Search of a library of videos by sentence, picture and sound.",
        openapi_url=f"{API}/openapi.json", docs_url=None, redoc_url=None,
    )  # fmt: skip
    served = Served(library)
    templates = environment("gaid.server")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def page() -> str:
        return templates.get_template("index.html").render(version=gaid.__version__, name=library.store.dataset)

    @app.get("/static/tokens.css", include_in_schema=False)
    def tokens() -> Response:
        """The colours of the reports' pages."""
        return Response(templates.get_template("tokens.css").render(), media_type="text/css")

    app.include_router(_api(served), prefix=API, responses={"4XX": {"model": FaultAnswer}, 503: {"model": FaultAnswer}})
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    _answer_faults(app, library)
    app.add_middleware(Guard, rules=rules)
    return app


def _api(served: Served) -> APIRouter:
    """The routes of the API, with what OpenAPI says of them."""
    api, library = APIRouter(), served.library

    @api.get("/library")
    async def facts() -> LibraryFacts:
        """The library: how many clips, which senses, what its answers rest on."""
        return await served.turns.take(library.facts)

    @api.get("/search")
    async def search(asked: Annotated[AskedByText, Query()]) -> SearchAnswer:
        """The clips that fit a sentence, or that are like a clip of the library."""
        return await served.turns.take(library.search, asked)

    return api


def _answer_faults(app: FastAPI, library: ServedLibrary) -> None:
    """Every fault as JSON of one form, without a trace of where it was raised."""

    @app.exception_handler(GaidError)
    async def of_ours(request: Request, error: GaidError) -> JSONResponse:
        status = 404 if isinstance(error, DataMissing) else 422 if isinstance(error, MediaError) else 400
        return JSONResponse(fault_content(type(error).__name__, library.without_paths(str(error))), status)

    @app.exception_handler(RequestValidationError)
    async def of_the_form(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(fault_content("RequestInvalid", _describe(error.errors())), 422)

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(fault_content("HTTP", str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(Busy)
    async def of_the_line(request: Request, error: Busy) -> JSONResponse:
        return JSONResponse(
            fault_content("Busy", "too many searches at once; ask again in a few seconds"), 503, {"Retry-After": "2"}
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(fault_content("Unexpected", "an unexpected error; the server's terminal names it"), 500)


def _describe(errors: Any) -> str:
    """Faults of a request's parameters in one line, without what was sent."""
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'][1:]) or 'request'}: {one['msg']}" for one in errors[:5]
    )
