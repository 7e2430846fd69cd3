"""Spool, the durable queue: a study that was acknowledged is on disk, whatever happens next."""

from mammosono.appliance.studies.spool.spool import Spool
from mammosono.appliance.studies.spool.values import Retained, Status, StoredImage, Study, Upload

__all__ = ["Retained", "Spool", "Status", "StoredImage", "Study", "Upload"]
