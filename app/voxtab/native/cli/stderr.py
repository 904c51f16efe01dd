"""What the command writes to stderr: its own sentences, and nothing of drivers and decoders."""

import contextlib
import os
import sys

from voxtab.errors import UserError


def complain(what: UserError | str) -> None:
    print(f"voxtab: {what}", file=sys.stderr)


@contextlib.contextmanager
def quiet_libraries():
    """Keep what drivers and decoders write to file descriptor 2 out of the command's stderr."""
    sys.stderr.flush()
    ours, theirs = sys.stderr, os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(os.dup(2), "w", buffering=1, encoding=ours.encoding, errors="backslashreplace") as stderr:
        os.dup2(nowhere, 2)
        sys.stderr = stderr
        try:
            yield
        finally:
            sys.stderr = ours
            os.dup2(theirs, 2)
            os.close(theirs)
            os.close(nowhere)
