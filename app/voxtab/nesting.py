"""How deep JSON is nested, found without recursion: that of `json` overflows a browser's stack, and Python dies."""

import re

LIMIT = 64  # real files have 4 levels

_MARKS = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)  # strings, which may hold brackets, and brackets


def too_deep(text: str, at: int = 0) -> bool:
    """Whether the JSON value that begins at `at` has more than LIMIT levels. It may be cut short, or not be JSON."""
    depth = 0
    for mark in _MARKS.finditer(text, at):
        first = text[mark.start()]
        if first in "[{":
            depth += 1
            if depth > LIMIT:
                return True
        elif first in "]}":
            depth -= 1
            if depth <= 0:
                return False
    return False
