"""The pictures of a request: its body as it is, or the files of a form (multipart/form-data)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from resnets.data.pictures.images import printable
from resnets.data.pictures.sent import Encoded
from resnets.draw.text import visible
from resnets.verbs.serve.limits import Limits
from resnets.verbs.serve.receive import Refused

FORM = "multipart/form-data"
JSON = "application/json"  # which holds no picture as it is
LONGEST_NAME = 200


async def pictures(request: Request, body: bytes, limits: Limits) -> list[Encoded]:
    """The files of a form, in their order, or the body as one picture.

    Raises:
        Refused: where there is none, there are too many, or the form cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == JSON:
        text = f"{kind}: send the bytes of one picture, or {FORM} with a file for each; tensors go to /v2/models/NAME/infer"
        raise Refused(415, text, reason="wrong")
    if kind != FORM:
        if not body:
            raise Refused(400, "the body is empty; send the bytes of a picture", reason="wrong")
        return [Encoded("picture", body)]
    files = await _files(request.headers, body, limits)
    if not files:
        raise Refused(400, "the form has no file; send each picture as a file", reason="wrong")
    return files


async def _files(headers: Headers, body: bytes, limits: Limits) -> list[Encoded]:
    parser = MultiPartParser(
        headers, _stream(body), max_files=limits.max_pictures, max_fields=limits.max_pictures, max_part_size=limits.max_bytes
    )
    parser.spool_max_size = limits.max_bytes + 1  # in memory: nothing that was sent is written to a disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if "Too many" in error.message:
            raise Refused(413, f"the form has too many parts ({error.message})", reason="large") from None
        raise Refused(400, f"the form cannot be read ({error.message})", reason="wrong") from None
    except (KeyError, ValueError, LookupError, UnicodeError) as error:  # a boundary or a charset that there is not
        raise Refused(400, f"the form cannot be read ({type(error).__name__}); send a boundary", reason="wrong") from None
    try:
        uploads = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return [Encoded(_name(upload, number), await upload.read()) for number, upload in enumerate(uploads, 1)]
    finally:
        await form.close()


async def _stream(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
    yield b""


def _name(upload: UploadFile, number: int) -> str:
    """What the sender calls the file, in printable characters; it is told back, and never opened."""
    return visible(printable(upload.filename or f"picture {number}"))[:LONGEST_NAME]
