"""`voxtab serve`."""

import argparse
import os
from pathlib import Path

from voxtab.native.cli.parser import add_gpu, add_model, number

DESCRIPTION = "Serve the page that tools/build_site wrote, and an API as OpenAI's and vLLM's, until interrupted."
_SITE = "dist/site"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", metavar="DIR", help=f"the page; default: {_SITE}, if it is there")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="browsers give WebGPU to https pages and to this machine's own; default: %(default)s",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one; default: %(default)s")
    add_model(parser)
    add_gpu(parser)
    parser.add_argument(
        "--delay-ms",
        type=int,
        metavar="N",
        help="how long to listen before writing, where a client does not say; default: the model's, usually 480",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help="what clients of the API must send; needed if other machines can reach it; default: VOXTAB_API_KEY of the "
        "environment, where other users of this machine cannot read it",
    )
    parser.add_argument("--no-api", action="store_true", help="only the page")
    parser.add_argument(
        "--queue",
        type=number(0, 999_999),
        default=8,
        metavar="N",
        help="streams that may wait for the model; default: %(default)s",
    )
    parser.add_argument(
        "--max-upload-mb",
        type=number(1, 999_999),
        default=1000,
        metavar="N",
        help="of one upload; default: %(default)s",
    )
    parser.add_argument(
        "--max-minutes",
        type=number(1, 999_999),
        default=240,
        metavar="N",
        help="of audio in one stream; default: %(default)s",
    )


def run(arguments) -> int:
    from voxtab.native.server.limits import Limits
    from voxtab.native.server.run import serve

    site = arguments.site
    if site is None and (arguments.no_api or Path(_SITE).exists()):
        site = _SITE
    serve(
        site,
        arguments.host,
        arguments.port,
        model=arguments.model,
        tokenizer=arguments.tokenizer,
        gpu=arguments.gpu,
        delay_ms=arguments.delay_ms,
        key=arguments.api_key or os.environ.get("VOXTAB_API_KEY") or None,
        limits=Limits(arguments.queue, 1_000_000 * arguments.max_upload_mb, 60 * arguments.max_minutes),
        api=not arguments.no_api,
    )
    return 0
