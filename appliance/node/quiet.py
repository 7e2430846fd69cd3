"""Libraries kept from logging: their lines and warnings repeat values of what is sent."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """For the whole process."""
    for name in ("pydicom", "pynetdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=name)
    # It would name each address that it posts to.
    logging.getLogger("httpx").setLevel(logging.WARNING)
