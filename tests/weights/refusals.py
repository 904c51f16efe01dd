"""What a reader says of a header that it cannot use."""

from voxtab.errors import ModelError


def refused(reader, head: bytes, size: int | None = None) -> str:
    """The message of the ModelError that this header causes, or its first tensor that cannot be read."""
    try:
        directory = reader.parse(head, len(head) if size is None else size)
    except ModelError as error:
        message = str(error)
    else:
        assert directory.unreadable, "it was read"
        message = next(iter(directory.unreadable.values()))
    assert message.isprintable() and message.endswith(".") and len(message) < 400, message
    return message
