"""Device side: a study's images in, findings, verdicts and one fused verdict out."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mammosono")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"
