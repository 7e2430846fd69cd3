"""The appliance as a web application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import appliance
from appliance.reading.job import Opening
from appliance.reading.process import Patience, ReaderProcess
from appliance.service import (
    event_routes,
    problems,
    schemas,
    status_routes,
    study_routes,
    watch_routes,
)
from appliance.service.archive import Archive
from appliance.service.body_limit import BodyLimit
from appliance.service.desk import Desk, Reading
from appliance.settings import Settings
from appliance.spool import Spool

DAY_S = 86_400.0


def create_app(settings: Settings, reading: Reading | None = None) -> FastAPI:
    """The application. It answers at once; spool and reader are opened beside it.

    reading: how studies are read; by default in a process of its own, as `settings` say.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        desk = Desk(Archive(lambda: open_spool(settings)), reading or reader_process(settings))
        app.state.settings = settings
        app.state.desk = desk
        app.state.reception = study_routes.Reception(settings)
        desk.start()
        yield
        await desk.close()

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
    app.include_router(event_routes.router)
    app.include_router(status_routes.router)
    app.include_router(watch_routes.router)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    problems.install(app)
    return app


def open_spool(settings: Settings) -> Spool:
    return Spool(
        settings.state_folder() / "spool",
        queue_length=settings.queue_length,
        max_age_s=settings.max_age_days * DAY_S,
        min_free_bytes=settings.min_free_bytes,
    )


def reader_process(settings: Settings) -> ReaderProcess:
    opening = Opening(settings.bundle, settings.network(), settings.reader_memory_bytes)
    return ReaderProcess(opening, Patience(study=settings.study_deadline_s))
