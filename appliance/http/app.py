"""FastAPI application of the appliance: routes, middleware and what lives as long as it does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from mammosono import appliance
from mammosono.appliance.errors import StorageFailed
from mammosono.appliance.http import (
    event_routes,
    monitoring_routes,
    page_routes,
    problems,
    schemas,
    session_routes,
    status_routes,
    study_routes,
)
from mammosono.appliance.http.body_limit import BodyLimit
from mammosono.appliance.http.deadlines import RequestDeadline
from mammosono.appliance.http.request_count import RequestCount
from mammosono.appliance.http.request_head import RequestHead
from mammosono.appliance.http.request_id import RequestId
from mammosono.appliance.http.security_headers import SecurityHeaders
from mammosono.appliance.http.upload_slots import UploadSlots
from mammosono.appliance.security import audit, permissions, tokens
from mammosono.appliance.security.access import AccessControl
from mammosono.appliance.security.audit_writer import AuditWriter
from mammosono.appliance.security.exposure import is_loopback, tokens_are_optional
from mammosono.appliance.settings import Settings
from mammosono.appliance.studies.queue import StudyQueue, StudyReader
from mammosono.appliance.studies.reader_process.job import Opening
from mammosono.appliance.studies.reader_process.process import Patience, ReaderProcess
from mammosono.appliance.studies.spool import Spool
from mammosono.appliance.studies.spool_thread import SpoolThread
from mammosono.appliance.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

DAY_S = 86_400.0
SLACK_S = 60.0
"""For a request, beyond the time that its body and its wait may take."""


def create_app(settings: Settings, reader: StudyReader | None = None) -> FastAPI:
    """The application. It answers at once; spool and reader open in the background.

    reader: reads the studies; by default a process of its own, as `settings` say.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        storage = SpoolThread(lambda: open_spool(settings, audit_writer))
        queue = StudyQueue(storage, reader or reader_process(settings), audit_writer, metrics)
        app.state.settings = settings
        app.state.queue = queue
        app.state.upload_slots = UploadSlots(settings)
        if others := permissions.exposed(settings):
            logger.warning(
                "others may read or change %s; run: %s",
                permissions.brief(others), permissions.remedy(settings),
            )  # fmt: skip
        await audit_writer.started()
        _say_who_is_locked_out(app.state.access)
        queue.start()
        yield
        await queue.close()
        await audit_writer.stopped()

    state = settings.state_folder()
    metrics = Metrics()
    # The first event is written before the list of studies is made.
    begun = (state / "spool" / "studies.db").exists()
    audit_writer = AuditWriter(audit.AuditLog(state / audit.FILE, expected=begun))

    # Swagger loads scripts from the internet, which the appliance may not reach; and a redirect
    # to a path with another slash would repeat the Host header that a client made up.
    app = FastAPI(
        title="mammosono",
        version=appliance.__version__,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # status_routes.py has it, behind a token
        redirect_slashes=False,
        responses={"default": schemas.PROBLEM},
    )
    app.state.audit = audit_writer
    app.state.access = AccessControl(
        tokens.Tokens(state / tokens.FILE),
        audit_writer,
        tokens_optional=tokens_are_optional(settings),
        own_name_only=is_loopback(settings.host),
    )
    app.include_router(page_routes.router)
    app.include_router(session_routes.router)
    app.include_router(study_routes.router)
    app.include_router(event_routes.router)
    app.include_router(status_routes.router)
    app.include_router(monitoring_routes.router)
    app.add_middleware(BodyLimit, max_bytes=settings.body_bytes())
    problems.install(app)
    deadline_s = settings.upload_s + settings.max_wait_s + SLACK_S
    app.add_middleware(RequestDeadline, seconds=deadline_s)
    app.add_middleware(RequestHead)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestCount, metrics=metrics)
    app.add_middleware(RequestId)
    return app


def _say_who_is_locked_out(access: AccessControl) -> None:
    try:
        access.check()
    except StorageFailed as error:
        logger.error("%s", error)


def open_spool(settings: Settings, audit_writer: AuditWriter) -> Spool:
    return Spool(
        settings.state_folder() / "spool",
        queue_length=settings.queue_length,
        max_age_s=settings.max_age_days * DAY_S,
        min_free_bytes=settings.min_free_bytes,
        retired=audit_writer.retired,
    )


def reader_process(settings: Settings) -> ReaderProcess:
    opening = Opening(settings.bundle, settings.engine(), settings.reader_memory_bytes)
    return ReaderProcess(opening, Patience(study=settings.study_deadline_s))
