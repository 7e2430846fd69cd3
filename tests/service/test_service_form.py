from __future__ import annotations

import asyncio
import hashlib
import tempfile
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from mammosono.appliance.errors import (
    EmptyFile,
    InvalidField,
    InvalidStudyId,
    MalformedRequest,
    NoImages,
    StudyError,
    TooManyImages,
    UnknownPart,
    UnsupportedContentEncoding,
    UnsupportedContentType,
)
from mammosono.appliance.http.form import StudyForm, read_form
from mammosono.appliance.values import Laterality, Modality

Parts = Sequence[tuple[str, bytes]]


def encode(parts: Parts, boundary: str = "frontier") -> bytes:
    """A multipart body; the file names are hostile on purpose."""
    disposition = 'Content-Disposition: form-data; name="%s"; filename="../../etc/passwd"'
    pieces = [
        f"--{boundary}\r\n{disposition % name}\r\n\r\n".encode() + data + b"\r\n"
        for name, data in parts
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


@dataclass(frozen=True)
class Received:
    """A form and the bytes of its images, in their order."""

    form: StudyForm
    images: list[bytes]


def receive(body: bytes, chunk: int = 1 << 16, whole: bool = True, **headers: str) -> Received:
    """Read `body` in chunks; if not `whole`, the client goes away at the end of it."""
    headers = {"content-type": "multipart/form-data; boundary=frontier", **headers}
    raw = [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items() if v]
    pieces = [body[i : i + chunk] for i in range(0, len(body), chunk)] or [b""]
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": not whole or i < len(pieces) - 1}
        for i, piece in enumerate(pieces)
    ]
    messages.append({"type": "http.disconnect"})
    source = iter(messages)

    async def next_message() -> Message:
        return next(source)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""}
    with tempfile.TemporaryDirectory() as folder:
        form = asyncio.run(read_form(Request(scope, next_message), Path(folder), 24))
        return Received(form, [upload.path.read_bytes() for upload in form.uploads])


files = st.lists(st.binary(max_size=300) | st.text("\r\n-frontier", max_size=80).map(str.encode))


@settings(max_examples=60, deadline=None)
@given(files.map(lambda x: x[:24]), files.map(lambda x: x[:24]), st.integers(1, 200))
def test_any_bytes_in_any_chunks_arrive_as_posted(
    mammograms: list[bytes], ultrasounds: list[bytes], chunk: int
) -> None:
    delimiter = b"\r\n--frontier"
    parts = [("ultrasound", data) for data in ultrasounds]
    parts += [("mammogram", data) for data in mammograms]
    parts = [(name, data) for name, data in parts if delimiter not in b"\r\n" + data]
    if not parts:
        return
    received = receive(encode(parts), chunk)
    uploads = received.form.uploads
    posted = [(u.modality, data) for u, data in zip(uploads, received.images, strict=True)]
    names = {"mammogram": Modality.MG, "ultrasound": Modality.US}
    expected = [(names[name], data) for name, data in parts]
    assert posted == sorted(expected, key=lambda entry: entry[0].value)  # MG first, else in order
    assert [u.sha256 for u in uploads] == [hashlib.sha256(i).hexdigest() for i in received.images]
    assert [u.size for u in uploads] == [len(image) for image in received.images]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_body_cut_short_anywhere_is_never_taken_for_a_smaller_study(data: st.DataObject) -> None:
    body = encode([("study_id", b"a"), ("mammogram", b"first"), ("ultrasound", b"second")])
    end = data.draw(st.integers(1, len(body) - len("--\r\n") - 1))
    with pytest.raises(MalformedRequest):
        receive(body[:end])


def test_a_client_that_goes_away_leaves_no_study() -> None:
    body = encode([("mammogram", b"first")])
    with pytest.raises(MalformedRequest, match="went away"):
        receive(body[:-20], whole=False)


@pytest.mark.parametrize("study_id", ["a", "A-b_c.9", "x" * 64, "..."])
def test_a_study_id_is_taken_as_sent(study_id: str) -> None:
    form = receive(encode([("mammogram", b"m"), ("study_id", study_id.encode())])).form
    assert form.study_id == study_id


@pytest.mark.parametrize(
    "study_id",
    ["", "x" * 65, "x" * 100_000, "a/b", "a b", "a\n", "..", ".", "ü", "a\0", "Doe^Jane"],
)
def test_a_study_id_that_would_not_fit_a_url_is_refused(study_id: str) -> None:
    with pytest.raises(InvalidStudyId) as refusal:
        receive(encode([("study_id", study_id.encode()), ("mammogram", b"m")]))
    assert "Doe" not in str(refusal.value)


def posted(*parts: tuple[str, bytes]) -> list[tuple[Laterality | None, str | None]]:
    uploads = receive(encode(parts)).form.uploads
    return [(upload.posted.laterality, upload.posted.view) for upload in uploads]


L, R = Laterality.LEFT, Laterality.RIGHT
FILM, ECHO = ("mammogram", b"m"), ("ultrasound", b"u")


def test_side_and_view_are_said_once_for_all_or_once_for_each_in_the_order_posted() -> None:
    assert posted(FILM, ECHO) == [(None, None), (None, None)]
    assert posted(("laterality", b"L"), FILM, ECHO, ("view", b"mlo")) == [(L, "MLO"), (L, "MLO")]
    each = [("laterality", b"R"), ("laterality", b"l"), ("view", b""), ("view", b" CC ")]
    assert posted(ECHO, *each, FILM) == [(L, "CC"), (R, None)]
    assert posted(*each, ECHO, FILM) == [(L, "CC"), (R, None)]


@pytest.mark.parametrize(
    "fields",
    [
        [("laterality", b"B")],
        [("laterality", b"left breast of Doe^Jane")],
        [("view", b"front")],
        [("view", b"x" * 300)],
        [("laterality", b"L")] * 3,
        [("laterality", b"L")] * 9,
    ],
)
def test_a_side_or_view_that_is_none_is_refused(fields: Parts) -> None:
    with pytest.raises(InvalidField) as refusal:
        receive(encode([FILM, ECHO, *fields]))
    assert "Doe" not in str(refusal.value)


def test_the_name_of_a_file_is_kept_to_be_shown() -> None:
    (upload,) = receive(encode([FILM])).form.uploads
    assert upload.posted.name == "passwd"


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([], NoImages),
        ([("study_id", b"a")], NoImages),
        ([("mammogram", b"m"), ("patient", b"p")], UnknownPart),
        ([("mammogram", b"m"), ("Mammogram", b"p")], UnknownPart),
        ([("mammogram", b"m"), ("", b"p")], UnknownPart),
        ([("mammogram", b"m"), ("study_id", b"a"), ("study_id", b"a")], UnknownPart),
        ([("mammogram", b"%d" % n) for n in range(25)], TooManyImages),
        ([("ultrasound", b"%d" % n) for n in range(25)], TooManyImages),
    ],
)
def test_a_form_that_is_not_a_study_is_refused(parts: Parts, error: type[StudyError]) -> None:
    with pytest.raises(error):
        receive(encode(parts))


def test_24_images_of_each_modality_are_a_study() -> None:
    parts = [(name, b"%d" % n) for n in range(24) for name in ("mammogram", "ultrasound")]
    uploads = receive(encode(parts)).form.uploads
    assert [u.modality.value for u in uploads] == 24 * ["MG"] + 24 * ["US"]


def test_a_request_without_body_is_an_empty_file() -> None:
    with pytest.raises(EmptyFile):
        receive(b"")


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"content_type": ""}, UnsupportedContentType),
        ({"content_type": "application/json"}, UnsupportedContentType),
        ({"content_type": "multipart/mixed; boundary=frontier"}, UnsupportedContentType),
        ({"content_type": "application/x-www-form-urlencoded"}, UnsupportedContentType),
        ({"content_type": "multipart/form-data"}, MalformedRequest),
        ({"content_type": "multipart/form-data; boundary=" + "x" * 10_000}, MalformedRequest),
        ({"content_type": "multipart/form-data; boundary=another"}, MalformedRequest),
        ({"content_type": "multipart/form-data; boundary="}, MalformedRequest),
        ({"content_encoding": "gzip"}, UnsupportedContentEncoding),
        ({"content_encoding": "br, gzip"}, UnsupportedContentEncoding),
    ],
)
def test_headers_of_another_kind_of_request_are_refused(
    headers: dict[str, str], error: type[StudyError]
) -> None:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(error):
        receive(encode([("mammogram", b"m")]), **headers)


def test_an_encoding_that_encodes_nothing_is_fine() -> None:
    assert receive(encode([("mammogram", b"m")]), **{"content-encoding": "identity"}).images


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Long: " + b"x" * 1_000_000,
        b"x" * 1_000_000,
        b"\r\n".join(b"X-%d: x" % n for n in range(10_000)),
        b"no colon at all",
        b": no name",
        b'Content-Disposition: form-data; name="mammogram"\rX: y',
    ],
)
def test_part_headers_out_of_all_proportion_are_refused(headers: bytes) -> None:
    body = b"--frontier\r\n" + headers + b"\r\n\r\ndata\r\n--frontier--\r\n"
    with pytest.raises(MalformedRequest):
        receive(body)


def test_a_part_without_a_name_is_refused() -> None:
    with pytest.raises(UnknownPart):
        receive(b"--frontier\r\nContent-Type: image/png\r\n\r\ndata\r\n--frontier--\r\n")


def test_a_common_client_builds_a_body_that_is_understood() -> None:
    request = httpx.Request(
        "POST",
        "http://box/v1/studies",
        files=[("mammogram", ("\u202e\r\n" + "n" * 3000 + ".png", b"m", "image/png"))],
        data={"study_id": "s-1"},
    )
    received = receive(request.read(), **{"content-type": request.headers["content-type"]})
    assert (received.form.study_id, received.images) == ("s-1", [b"m"])


def test_a_form_is_on_the_disk_and_not_in_memory(tmp_path: Path) -> None:
    """48 images of a MiB each, in chunks of 64 KiB as a server gives them: under 3 MiB at once."""
    image = bytes(2**20)

    def pieces() -> Iterator[bytes]:
        for number in range(48):
            name = "mammogram" if number < 24 else "ultrasound"
            head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
            yield head.encode()
            yield from (image[at : at + 65536] for at in range(0, len(image), 65536))
            yield b"\r\n"
        yield b"--frontier--\r\n"

    source = pieces()

    async def next_message() -> Message:
        piece = next(source, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    headers = [(b"content-type", b"multipart/form-data; boundary=frontier")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    tracemalloc.start()
    form = asyncio.run(
        read_form(Request(scope | {"query_string": b""}, next_message), tmp_path, 24)
    )
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(upload.size for upload in form.uploads) == 48 * 2**20
    assert most < 3 * 2**20
