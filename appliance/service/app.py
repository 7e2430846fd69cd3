"""The appliance as a web application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

import appliance
from appliance.reader import Reader
from appliance.service import problems, schemas, status_routes, study_routes
from appliance.service.answer import StudyReader
from appliance.service.body_limit import BodyLimit
from appliance.service.desk import Desk
from appliance.service.studies import MemoryStudies
from appliance.settings import Settings


def create_app(settings: Settings, open_reader: Callable[[], StudyReader] | None = None) -> FastAPI:
    """The application. It answers at once; the reader is opened beside it.

    open_reader: called once, on the reading thread; by default it opens the bundle of `settings`.
    What it raises makes /readyz answer 503, the application itself starts.
    """
    open_reader = open_reader or partial(Reader.open, settings.bundle, settings.threads)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        studies = MemoryStudies(settings.kept_studies, settings.kept_bytes)
        desk = Desk(open_reader, studies, settings.queue_length)
        app.state.settings = settings
        app.state.desk = desk
        app.state.reception = study_routes.Reception(settings)
        # Apart from the reading thread: a picture does not wait for the study being read.
        app.state.painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="painter")
        desk.start()
        yield
        await desk.close()
        await asyncio.to_thread(app.state.painter.shutdown)

    # Swagger's pages load scripts from the internet, which the box need not reach; and a redirect
    # to a path with another slash would repeat the Host header that a client made up.
    app = FastAPI(
        title="mammosono",
        version=appliance.__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        redirect_slashes=False,
        responses={"default": schemas.PROBLEM},
    )
    app.include_router(study_routes.router)
    app.include_router(status_routes.router)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    problems.install(app)
    return app
