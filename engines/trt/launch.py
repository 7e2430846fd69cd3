"""How a module of this package is started by another Python, or again by this one."""

import os
from typing import List, Sequence

import engines

OF_THIS_PYTHON = ("PYTHONPATH", "PYTHONHOME")
"""What another Python must not find in its environment."""

# `python -m`, but our folder comes last: where it is a site-packages, what lies beside it was
# installed for another Python.
_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def command(python: str, module: str, arguments: Sequence[str]) -> List[str]:
    """As `python -m module arguments`, for a module of `engines`. To be started in "/": Python
    looks for modules where it is started, before all else."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(engines.__file__)))
    return [python, "-u", "-c", _START, home, module] + list(arguments)
