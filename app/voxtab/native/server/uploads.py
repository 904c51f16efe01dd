"""A form with one file, which goes to disk as it comes."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from voxtab.native.server.errors import ApiError, disk_full
from voxtab.native.server.limits import FORM_BYTES, UPLOAD_PAUSE_SECONDS, Limits, Share


@asynccontextmanager
async def upload(request: Request, limits: Limits, share: Share) -> AsyncIterator[tuple[FormData, UploadFile, Path]]:
    """The form of a request, its field `file`, and where that lies until the end of the `with`.

    Raises ApiError for a body that is too long, damaged, or no form with a file.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ApiError(
            415 if "content-type" in request.headers else 400,
            "Send the audio as multipart/form-data with a field `file`.",
            param="file",
        )
    parser = MultiPartParser(request.headers, _body(request, limits, share), max_files=1, max_fields=100)
    try:
        form = await parser.parse()
    except OSError:
        raise disk_full() from None
    except MultiPartException as error:
        raise ApiError(400, f"The form cannot be read ({error.message.rstrip('.')}): send one file in it.") from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ApiError(400, "The form has no file: send the audio as the field `file`.", param="file")
        # The parser's file has no name on the disk, and a decoder needs one.
        with tempfile.TemporaryDirectory(prefix="voxtab-") as folder:
            path = Path(folder, "audio")
            try:
                await asyncio.to_thread(_copy, file, path)
            except OSError:
                raise disk_full() from None
            yield form, file, path
    finally:
        await form.close()


def _copy(file: UploadFile, path: Path) -> None:
    with open(path, "wb") as copy:
        shutil.copyfileobj(file.file, copy, 1 << 20)
    file.file.close()


async def _body(request: Request, limits: Limits, share: Share) -> AsyncGenerator[bytes, None]:
    most = limits.upload_bytes + FORM_BYTES
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > most:
        raise _too_long(limits)
    blocks, nbytes = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(UPLOAD_PAUSE_SECONDS):
                block = await anext(blocks, b"")
        except TimeoutError:
            raise ApiError(408, f"Nothing came for {UPLOAD_PAUSE_SECONDS} s: send the audio again.") from None
        if not block:
            return
        nbytes += len(block)
        if nbytes > most:
            raise _too_long(limits)
        share.take(len(block))
        yield block


def _too_long(limits: Limits) -> ApiError:
    return ApiError(
        413,
        f"The upload is larger than {limits.upload_bytes / 1e6:g} MB, which this server takes: "
        "cut or compress the audio.",
        code="upload_too_large",
        param="file",
    )
