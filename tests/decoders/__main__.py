"""Compare every file with every decoder, and print docs/decoders.md: make decoders."""

from __future__ import annotations

import sys

from decoders.comparison import AGREE, KNOWN, compare, table
from decoders.independent import missing, versions
from decoders.pictures import drawn, pydicoms

HEAD = """# Decoders

What this appliance makes of a DICOM file beside what others make of it: every file that comes with
pydicom (said to be an ultrasound), and drawn ones of each kind. Greatest difference in 255ths of
the range that is shown; nothing where a decoder has no picture or leaves the file's tables aside.
Written by `make decoders`; `tests/unit/test_decoders.py` holds a part of it.
"""


def main() -> int:
    if lacking := missing():
        sys.stderr.write(f"error: no {', '.join(lacking)}; apt install dcmtk libgdcm-tools\n")
        return 2
    rows = [compare(name, data) for name, data in (*pydicoms(), *drawn())]
    both = sum(any(each is not None for each in row.differences.values()) for row in rows)
    strange = [row.name for row in rows if not row.explained]
    lines = [HEAD, f"With {versions()}.\n", table(rows)]
    lines += [f"\n{len(rows)} files, {both} of them compared. Apart by more than {AGREE:g}:\n"]
    lines += [f"- `{name}`: {reason}." for name, reason in KNOWN.items()]
    lines += [f"- `{name}`: not explained." for name in strange]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
