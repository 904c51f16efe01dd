"""In which order the shards of a model are, by their names."""

import os.path
import re
from string import ascii_lowercase, digits

from voxtab.errors import ModelError


def in_order(names: list[str]) -> list[str]:
    """Shards' names in the order of their counters. ModelError if one is missing or if there are no counters."""
    if len(names) == 1:
        return names
    # The counter is where the names differ. Letters or digits after it that are alike, as in ba and ca, belong to it.
    head = os.path.commonprefix(names)
    tail = os.path.commonprefix([name[len(head) :][::-1] for name in names])[::-1].lstrip(ascii_lowercase + digits)
    counters = [name[len(head) : len(name) - len(tail)] for name in names]
    if all(re.fullmatch("[0-9]+", counter) for counter in counters):
        counters.sort(key=int)
    elif all(re.fullmatch("[a-z]+", counter) for counter in counters) and len({*map(len, counters)}) == 1:
        counters.sort()
    else:
        raise ModelError(
            f"{min(names)} and {max(names)} are not numbered as shards of one model: "
            "leave nothing but the shards, config.json and tekken.json in their folder."
        )
    for counter, following in zip(counters, counters[1:]):
        if following != _next(counter):
            raise ModelError(f"The shard {head}{_next(counter)}{tail} is missing: download it to where the others are.")
    return [head + counter + tail for counter in counters]


def _next(counter: str) -> str:
    """09 -> 10, az -> ba, as `split` counts."""
    if counter.isdecimal():
        return str(int(counter) + 1).zfill(len(counter))
    stem = counter.rstrip("z")
    return stem[:-1] + chr(ord(stem[-1]) + 1) + "a" * (len(counter) - len(stem))
