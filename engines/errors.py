"""What can go wrong while a bundle is opened or a stage is run.

EngineError
  BundleError        the bundle cannot be used: missing, damaged, wrong schema, wrong hash
  EngineUnavailable  no runtime on this machine can run the bundle
  EngineFault        a run failed or gave an answer that cannot be trusted
    EngineLost       the process that computed it died or hung; a new one is started
"""


class EngineError(Exception):
    """Base of every error this package raises on purpose."""


class BundleError(EngineError):
    """The bundle is missing, damaged, of another schema, or a stage's hash differs."""


class EngineUnavailable(EngineError):
    """The runtime that this bundle needs is not installed or does not start here."""


class EngineFault(EngineError):
    """A run failed, or its answer holds NaN or Inf."""


class EngineLost(EngineFault):
    """The process that ran the engine died or did not answer in time, and was put down.

    The next run starts another one; tensors kept by the lost one are gone.
    """
