"""What stands in examples/ runs as written, and links in the documents lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from service_bench import FakeReader, png, running

from mammosono.appliance.phantoms.demo import draw_pair

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)


def test_a_pair_is_read_in_python(tmp_path: Path) -> None:
    done = run(EXAMPLES / "read_pair.py", *draw_pair(tmp_path), "--out", tmp_path / "reading")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fused: positive\nMG: positive, score ")
    assert (tmp_path / "reading" / "report.html").is_file()


def test_a_file_that_is_no_picture_is_refused_by_its_code(tmp_path: Path) -> None:
    mammogram, _ = draw_pair(tmp_path)
    (tmp_path / "no.png").write_text("no picture")
    done = run(EXAMPLES / "read_pair.py", mammogram, tmp_path / "no.png")
    assert done.returncode == 2
    assert done.stderr.startswith("unsupported_format: ")


def test_a_pair_is_posted(tmp_path: Path) -> None:
    files = [tmp_path / "mlo.png", tmp_path / "us.png"]
    for seed, file in enumerate(files, start=1):
        file.write_bytes(png(seed))
    with running(FakeReader()) as client:
        url = str(client.base_url)
        done = run(EXAMPLES / "post_pair.py", url, *files)
        assert done.returncode == 0, done.stderr
        assert (
            done.stdout == "fused: positive\nMG: positive, 1 findings\nUS: negative, 1 findings\n"
        )
        files[1].write_text("no picture")
        half = run(EXAMPLES / "post_pair.py", url, *files)
        assert half.returncode == 0
        assert half.stdout.splitlines()[2].startswith("US: not read: The file is no PNG")
        files[0].write_text("no picture either")
        refused = run(EXAMPLES / "post_pair.py", url, *files)
    assert refused.returncode == 2
    assert refused.stderr.startswith("unsupported_format: ")


DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/**/*.md", "examples/*.md") for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target
