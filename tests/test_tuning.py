"""The choice of a variant for one-row products: any that is right may win, and one that is wrong never does."""

from dataclasses import replace
from pathlib import Path

import pytest

from voxtab import local, resources
from voxtab.errors import UserError
from voxtab.gpu.kernels import ROW_VARIANTS, Variants
from voxtab.model import Model
from voxtab.tuning import fastest_row

ORACLE = Path(__file__).parent / "oracle" / "delay480"


def choice(run, device) -> tuple[str, list[str]]:
    found = local.read_model(ORACLE / "tiny-q4.gguf")
    model = run(Model.load(device, found.directory, found.config, found.source, found.tokenizer, name="test", variants=Variants(subgroup=4)))
    used = set()
    for row in ROW_VARIANTS:
        model.kernels.variants = replace(model.kernels.variants, row=row)
        products = model.decoder.record_products()
        run(model.kernels.compile(products))
        used |= {dispatch.kernel for dispatch in products}
    assert used == {"linear", "linear_row", "linear_staged", "linear_staged_subgroups"}, "the oracle's matrices are wide enough for each"
    return run(fastest_row(model.decoder, model.kernels))


def test_one_that_is_right_is_chosen(run, device):
    row, wrong = choice(run, device)
    assert row in ROW_VARIANTS and wrong == []


def test_one_that_a_driver_gets_wrong_is_not_used(run, device, monkeypatch):
    shader = resources.shader
    monkeypatch.setattr(resources, "shader", lambda name: shader(name).replace("return x.scale *", "return 1.01 * x.scale *"))
    row, wrong = choice(run, device)
    assert wrong == ["packed", "subgroups"] and row not in wrong


def test_pins():
    gpu = {"adapter_type": "DiscreteGPU"}
    assert Variants.pinned(gpu, "row=few,tiles=0,drafts=3") == replace(Variants(), row="few", tiles=0, drafts=3)
    for wrong in ("", "row=subgroups", "row", "row=fast", "tiles=many", "shape=3", "subgroup=8", "attention=100", "quads=2", "of=1"):
        with pytest.raises(UserError, match="row=few"):
            Variants.pinned(gpu, wrong)
    assert Variants.pinned(gpu | {"subgroup": 32}, "row=subgroups") == Variants(row="subgroups", subgroup=32)


def test_a_browser_without_packed_dot_products():
    assert Variants.of({"adapter_type": "GPU", "packed_dot": False}) == Variants(row="few")
