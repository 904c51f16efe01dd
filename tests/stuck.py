"""A model that falls into the rut of spec 8.4: from a position on, it chooses only blanks, until a stream begins."""

import numpy as np

from voxtab.config import PAD
from voxtab.model import Model


class _Read:
    """Tokens on their way back from the GPU: from position `fallen` on, blanks."""

    def __init__(self, reading, position, fallen):
        self.reading, self.position, self.fallen = reading, position, fallen

    def __await__(self):
        reached, tokens = yield from self.reading.__await__()
        self.alternatives = self.reading.alternatives
        return reached, [
            token if position < self.fallen else PAD for position, token in enumerate(tokens, self.position + 1)
        ]


def falls(monkeypatch, position, *, opened=True):
    """The model falls so in the stream that is begun next; the one after is sound. opened: or it is still to open."""
    predict, start = Model.predict, Model.start
    fallen = [np.inf, position, np.inf] if opened else [np.inf, np.inf, position, np.inf]

    def begin(model, schedule):
        start(model, schedule)
        if len(fallen) > 1:
            fallen.pop(0)

    def made(model, first, *where, **how):
        return _Read(predict(model, first, *where, **how), first, fallen[0])

    monkeypatch.setattr(Model, "start", begin)
    monkeypatch.setattr(Model, "predict", made)
