"""Log lines for people, or one JSON object a line for machines; either with the request's id."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Literal

from mammosono.appliance.output.printable import escaped, printable, printable_lines

LogFormat = Literal["text", "json"]


def set_up(form: LogFormat, request_id: Callable[[], str | None]) -> None:
    """Log to standard error. request_id: of the request being answered, or None."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(request_id) if form == "json" else TextLines(request_id))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class TextLines(logging.Formatter):
    def __init__(self, request_id: Callable[[], str | None]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        request = self._request_id()
        return printable_lines(super().format(record)) + (f" [{request}]" if request else "")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class JsonLines(logging.Formatter):
    """time, level, logger, message, and request where there is one."""

    def __init__(self, request_id: Callable[[], str | None]) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        request = self._request_id()
        if request:
            line["request"] = request
        if record.exc_info and record.exc_info[0]:
            # The kind alone: an exception's text may quote what a client sent.
            line["exception"] = record.exc_info[0].__name__
        return escaped(json.dumps(line, ensure_ascii=False))
