"""A model on its way to the GPU, with a progress bar."""

from tqdm import tqdm

from voxtab.model import Model
from voxtab.native import models
from voxtab.native.cli.stderr import complain


async def load(found: models.LocalModel) -> Model:
    with tqdm(total=found.source.size, unit="B", unit_scale=True, desc="loading", leave=False, disable=None) as bar:
        model = await models.load_model(found, progress=lambda done: bar.update(done - bar.n))
    if model.warning:
        complain(model.warning)
    return model
