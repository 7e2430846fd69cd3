"""What is on the disk when the call returns, whole, wherever the power fails."""

import os
import tempfile
from typing import Union

Path = Union[str, "os.PathLike[str]"]


def sync(path: Path) -> None:
    """Force a file's bytes, or a folder's entries, to the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: str, data: bytes, mode: int) -> None:
    """Make `data` the file's content, with the permissions `mode`: the old file or the new one.

    Raises OSError, and then the old file is unchanged and nothing else is left.
    """
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(prefix=".writing-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync(folder)  # the rename itself is only durable once the folder is
