"""`voxtab serve`."""

import argparse

DESCRIPTION = "Serve the page that tools/build_site wrote, until interrupted."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", nargs="?", default="dist/site", metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="browsers give WebGPU to https pages and to this machine's own; default: %(default)s",
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one; default: %(default)s")


def run(arguments) -> int:
    from voxtab.native.serve import serve

    serve(arguments.site, arguments.host, arguments.port)
    return 0
