"""JPEG 2000 decoded at half its resolution, by OpenJPEG's own interface.

pylibjpeg-openjpeg brings the library but no way to ask it for less than the whole picture. Its
functions and structures are those of openjp2 2.x, whose ABI is stable.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import ExitStack
from ctypes import (
    POINTER,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODESTREAM, _INPUT = 0, 1
_PIECE_BYTES = 2**20
_PARAMETER_BYTES = 2**15  # opj_dparameters_t has two paths of 4096 bytes and a few numbers
_END = c_size_t(-1).value

_Read = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_size_t, c_void_p)
_Skip = ctypes.CFUNCTYPE(c_int64, c_int64, c_void_p)
_Seek = ctypes.CFUNCTYPE(c_int, c_int64, c_void_p)


class _Component(ctypes.Structure):
    _fields_ = [
        *((name, c_uint32) for name in ("dx", "dy", "w", "h", "x0", "y0")),
        *((name, c_uint32) for name in ("prec", "bpp", "sgnd", "resno_decoded", "factor")),
        ("data", POINTER(c_int32)),
        ("alpha", c_uint16),
    ]


class _Image(ctypes.Structure):
    _fields_ = [
        *((name, c_uint32) for name in ("x0", "y0", "x1", "y1", "numcomps")),
        ("color_space", c_int),
        ("comps", POINTER(_Component)),
        ("icc_profile_buf", c_void_p),
        ("icc_profile_len", c_uint32),
    ]


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "opj_create_decompress": (c_void_p, [c_int]),
    "opj_set_default_decoder_parameters": (None, [c_void_p]),
    "opj_setup_decoder": (c_int, [c_void_p, c_void_p]),
    "opj_stream_create": (c_void_p, [c_size_t, c_int]),
    "opj_stream_set_read_function": (None, [c_void_p, _Read]),
    "opj_stream_set_skip_function": (None, [c_void_p, _Skip]),
    "opj_stream_set_seek_function": (None, [c_void_p, _Seek]),
    "opj_stream_set_user_data": (None, [c_void_p, c_void_p, c_void_p]),
    "opj_stream_set_user_data_length": (None, [c_void_p, c_uint64]),
    "opj_read_header": (c_int, [c_void_p, c_void_p, POINTER(POINTER(_Image))]),
    "opj_set_decoded_resolution_factor": (c_int, [c_void_p, c_uint32]),
    "opj_decode": (c_int, [c_void_p, c_void_p, c_void_p]),
    "opj_destroy_codec": (None, [c_void_p]),
    "opj_stream_destroy": (None, [c_void_p]),
    "opj_image_destroy": (None, [c_void_p]),
}


def decode_half(codestream: bytes) -> NDArray[Any] | None:
    """The low-pass band one level below the picture, [ceil(height / 2), ceil(width / 2)], int16 or
    uint16.

    Its pixel (x, y) stands for what lies around the middle of the picture's pixel (2 x, 2 y).
    None if there is no such level, if the picture has more than one component or does not begin at
    the grid's corner, or where the library is not there.
    """
    library = _library()
    if library is None:
        return None
    with ExitStack() as after:
        codec = library.opj_create_decompress(_CODESTREAM)
        after.callback(library.opj_destroy_codec, codec)
        parameters = ctypes.create_string_buffer(_PARAMETER_BYTES)
        library.opj_set_default_decoder_parameters(parameters)
        stream = library.opj_stream_create(_PIECE_BYTES, _INPUT)
        after.callback(library.opj_stream_destroy, stream)
        functions = _stream_functions(codestream)
        for name, function in zip(("read", "skip", "seek"), functions, strict=True):
            getattr(library, f"opj_stream_set_{name}_function")(stream, function)
        library.opj_stream_set_user_data(stream, None, None)
        library.opj_stream_set_user_data_length(stream, len(codestream))
        image = POINTER(_Image)()
        if not library.opj_setup_decoder(codec, parameters):
            return None
        if not library.opj_read_header(stream, codec, ctypes.byref(image)):
            return None
        after.callback(library.opj_image_destroy, image)
        if image.contents.numcomps != 1 or image.contents.x0 or image.contents.y0:
            return None
        size = -(-image.contents.y1 // 2), -(-image.contents.x1 // 2)
        if not library.opj_set_decoded_resolution_factor(codec, 1):
            return None
        if not library.opj_decode(codec, stream, image):
            return None
        component = image.contents.comps[0]
        if not component.data or (component.h, component.w) != size or component.prec > 16:
            return None
        # The filter may overshoot the pixels' range at an edge.
        least = -(1 << component.prec - 1) if component.sgnd else 0
        values = np.ctypeslib.as_array(component.data, size)
        np.clip(values, least, least + (1 << component.prec) - 1, out=values)
        return values.astype(np.int16 if component.sgnd else np.uint16)


def _stream_functions(data: bytes) -> tuple[Any, Any, Any]:
    """They must be kept for as long as the stream is used."""
    start, length, at = ctypes.cast(ctypes.c_char_p(data), c_void_p).value or 0, len(data), 0

    def read(target: int, size: int, _: object) -> int:
        nonlocal at
        count = min(size, length - at)
        if count <= 0:
            return int(_END)
        ctypes.memmove(target, start + at, count)
        at += count
        return count

    def skip(count: int, _: object) -> int:
        nonlocal at
        count = min(count, length - at)
        at += count
        return count

    def seek(place: int, _: object) -> int:
        nonlocal at
        at = min(place, length)
        return int(place <= length)

    return _Read(read), _Skip(skip), _Seek(seek)


@cache
def _library() -> Any:
    """None if it does not have the functions."""
    try:
        import _openjpeg

        library = ctypes.CDLL(_openjpeg.__file__)
        for name, (result, arguments) in _SIGNATURES.items():
            function: Callable[..., Any] = getattr(library, name)
            function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]
    except (ImportError, OSError, AttributeError):
        return None
    return library
