"""`voxtab publish`."""

import argparse
from pathlib import Path

DESCRIPTION = (
    "Put a model (a folder that voxtab shard wrote, or with a .gguf file) or the page (a folder that tools/build_site "
    "wrote) where others can load it. Nothing but the files that --dry-run lists is sent."
)
_PAGES_BYTES = 100 << 20  # of a file on GitHub Pages


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FOLDER", help="the model's or the page's folder")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--hub",
        metavar="OWNER/NAME",
        help="a repository on Hugging Face, made if needed: a model's, or for the page a static Space "
        "(pip install 'voxtab[hub]'; hf auth login)",
    )
    where.add_argument("--folder", metavar="DIR", help="a new folder, for GitHub Pages, R2 or any static host")
    parser.add_argument("--private", action="store_true", help="on the hub, if it is made now")
    parser.add_argument("--dry-run", action="store_true", help="only list the files with their bytes and sums")


def run(arguments) -> int:
    from voxtab.native.hub.publish import host_files, publication, to_folder, to_hub

    published = publication(arguments.source)
    added = {} if arguments.hub else host_files(published)
    for file in published.files:
        print(f"{file.nbytes:>14,}  {file.sha256()}  {file.name}")
    for name, content in added.items():
        print(f"{len(content.encode()):>14,}  {'added for the host':64}  {name}")
    total = published.nbytes + sum(len(content.encode()) for content in added.values())
    print(f"{total:>14,}  bytes in {len(published.files) + len(added)} files, the {published.kind}")
    for name in published.left_out:
        print(f"left out: {name}")
    if arguments.folder and (large := [file.name for file in published.files if file.nbytes > _PAGES_BYTES]):
        print(f"GitHub Pages takes no file over 100 MiB ({large[0]}): cut the model with voxtab shard for that.")
    if arguments.dry_run:
        print("Nothing was sent or written (--dry-run).")
    elif arguments.hub:
        print(f"Published: {to_hub(published, arguments.hub, arguments.private)}")
    else:
        to_folder(published, Path(arguments.folder))
        print(f"Written: {arguments.folder}")
    return 0
