"""The plans that are timed for a prediction are as long as the real model's."""

from dataclasses import replace

import pytest

from synthetic import SMALL
from voxtab import prediction
from voxtab.drafting import EXPECTED, ROWS
from voxtab.gpu.kernels import Kernels
from voxtab.native.gpu.device import NativeDevice
from voxtab.weights.load import load

CONFIG = replace(
    SMALL, encoder=replace(SMALL.encoder, layers=6), decoder=replace(SMALL.decoder, layers=5), vocabulary=2048
)


@pytest.mark.parametrize("in_software", [True, False])
def test_the_real_models_dispatches(run, monkeypatch, in_software):
    """Counted instead of timed; in software all layers are counted from one."""

    async def compare():
        device = await NativeDevice.open(default_limits=True)
        device.adapter = replace(device.adapter, is_software=in_software)
        timed, seconds, paced_seconds = [], prediction._seconds, prediction._paced_seconds

        async def counted(model, dispatches):
            timed.append(await seconds(model, dispatches))
            return len(dispatches)

        async def paced(model, dispatches):
            timed.append(await paced_seconds(model, dispatches))
            return len(dispatches)

        monkeypatch.setattr(prediction, "_seconds", counted)
        monkeypatch.setattr(prediction, "_paced_seconds", paced)
        monkeypatch.setattr(prediction, "PACED_STEPS", 2)
        monkeypatch.setattr(prediction, "MEASURED_S", 0.001)
        found = await prediction.predict(device, CONFIG)
        assert all(0 < each < 60 for each in timed)
        kernels = Kernels(device)
        weights, _ = load(prediction._directory(CONFIG), CONFIG, kernels)
        model = prediction.Model(kernels, CONFIG, weights, None, "all layers", True)
        blocks = {tokens: len(model._record_block(kernels, tokens)) for tokens in (1, model.block_tokens)}
        passes = {
            rows: len(model.decoder.record(kernels, model.adapter.audio, rows, True))
            for rows in ((1, 4) if in_software else ROWS)
        }
        per_token = blocks[model.block_tokens] / model.block_tokens
        per_token += min(count / EXPECTED[rows] for rows, count in passes.items())
        device.close()
        return found, {"rtf": per_token * 12.5, "live_step_ms": 1000 * (blocks[1] + passes[1])}

    found, expected = run(compare())
    assert found == pytest.approx(expected)
