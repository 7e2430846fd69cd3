"""Start of a module of `engines` by another Python, or again by this one."""

import os
from typing import List, Sequence

from mammosono import engines

OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME")
"""What another Python must not find in its environment."""

HOME = os.path.dirname(os.path.dirname(os.path.abspath(engines.__file__)))
"""The folder of `engines`: a checkout, or `mammosono` in a site-packages."""

PACKAGE = (
    "import sys, types; mammosono = types.ModuleType('mammosono'); "
    "mammosono.__path__ = [sys.argv.pop(1)]; sys.modules['mammosono'] = mammosono; "
)
"""`mammosono` as a bare package around the folder in argv[1]. Not found by a search path: what
lies beside an installed one is for the Python that it was installed under."""

_RUN = (
    PACKAGE + "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def command(python: str, module: str, arguments: Sequence[str]) -> List[str]:
    """As `python -m module arguments`, for a module of `mammosono.engines`. To be started in "/":
    Python looks for modules where it is started, before all else."""
    return [python, "-u", "-c", _RUN, HOME, module] + list(arguments)
