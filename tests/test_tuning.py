"""The choice of `linear`: any correct variant may win, and a wrong one never does."""

from dataclasses import replace
from pathlib import Path

import pytest

from voxtab import resources, tuning
from voxtab.errors import ModelError, UserError
from voxtab.gpu.device import GpuAdapter
from voxtab.gpu.variants import LINEAR, Variants
from voxtab.native import models
from voxtab.tuning import fastest_attention, fastest_linear

ORACLE = Path(__file__).parent / "oracle" / "delay480"


def choice(run, device, damage=lambda model: None) -> tuple[str, list[str]]:
    found = models.read_model(ORACLE / "tiny-q4.gguf")
    model = run(
        found.load(
            device,
            variants=Variants(subgroup=4),
        )
    )
    damage(model)
    recorders = [model.kernels.with_variants(linear=linear) for linear in LINEAR]
    products = [dispatch for kernels in recorders for dispatch in model.decoder.record_products(kernels)]
    assert {dispatch.kernel for dispatch in products} == {"linear_plain", "linear_staged", "linear_staged_subgroups"}
    run(model.kernels.compile(products))
    kernels, wrong = run(fastest_linear(model.decoder, recorders))
    return kernels.variants.linear, wrong


def test_a_right_variant_is_chosen(run, device):
    linear, wrong = choice(run, device)
    assert linear in LINEAR and wrong == []


def test_the_fastest_is_chosen(run, device, monkeypatch):
    """By the least time: a thread that wakes up late now and then changes nothing."""
    turns = []

    async def seconds(decoder, kernels):
        turns.append(kernels.variants.linear)
        is_fastest = kernels.variants.linear == "staged_packed"
        return (0.1 if is_fastest else 0.2) + (0.5 if is_fastest and turns.count("staged_packed") < 3 else 0)

    monkeypatch.setattr(tuning, "_seconds", seconds)
    assert choice(run, device) == ("staged_packed", [])
    assert turns == 3 * [*LINEAR]


@pytest.mark.parametrize(
    "right, wrong_now",
    [
        ("return x.scale *", "return 1.01 * x.scale *"),
        (
            "y += vec2f(out[at + rows.x], out[at + rows.y])",
            "y += select(1.0, 1.01, PACKED) * vec2f(out[at + rows.x], out[at + rows.y])",
        ),
    ],
)
def test_a_variant_that_a_driver_computes_wrongly_is_not_used(run, device, monkeypatch, right, wrong_now):
    """The first product is wrong, or the second, in the packed kernels only."""
    shader = resources.shader

    def broken(name):
        text = shader(name)
        assert right in text or not name.startswith("linear_staged")
        return text.replace(right, wrong_now) if name.startswith("linear_staged") else text

    monkeypatch.setattr(resources, "shader", broken)
    linear, wrong = choice(run, device)
    assert wrong == ["staged_packed", "staged_subgroups"] and linear not in wrong


def test_attention_tile_is_used_where_it_is_faster(run, device, monkeypatch):
    """By a clock that moves by more with more rows of workgroups: `attention_tile` has fewer. Then the reverse."""
    model = run(models.read_model(ORACLE / "tiny-q4.gguf").load(device, variants=Variants(attention_tiles=1)))
    without, now, is_faster = model.kernels.with_variants(attention_tiles=0), [0.0], True
    run(model.kernels.compile(model.encoder.record_attention(without, model.block_tokens, 1)))
    original = device.run

    def timed(plan, read=None, times=1):
        rows = device._objects[plan].dispatches[0][3]
        now[0] += rows if is_faster else 1000 - rows
        return original(plan, read, times=times)

    monkeypatch.setattr(device, "run", timed)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: now[0])
    for is_faster in (True, False):
        kernels, is_wrong = run(fastest_attention(model.encoder, model.kernels, model.block_tokens))
        assert not is_wrong and kernels.variants.attention_tiles == int(is_faster)


def test_nan_weights(run, device):
    def damage(model):
        device.write(model.decoder.weights.decoder[0].w2.parts[0].scales, 0, bytes([0, 0x7E, 0, 0x7E]))  # NaN in f16

    with pytest.raises(ModelError, match="damaged"):
        choice(run, device, damage)


def test_what_passes_cost_is_measured_and_pins_are_not(run, device, monkeypatch):
    """With a clock that stands still but for passes, each of which takes as long as it has rows, and 5 more."""
    found, now = models.read_model(ORACLE / "tiny-q4.gguf"), [0.0]
    original = device.run

    def timed(plan, read=None, times=1):
        if dispatches := device._objects[plan].dispatches:
            now[0] += times * (5 + dispatches[0][3])  # the first kernel, `embed`, has a row of workgroups for each row
        return original(plan, read, times=times)

    async def measured(**fields):
        model = await found.load(device, variants=Variants(linear="plain", **fields))
        return model.kernels.variants, model.tuned

    monkeypatch.setattr(device, "run", timed)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: now[0])
    costs = {"pass_2": 117, "pass_4": 150, "pass_6": 183, "pass_8": 217}
    assert run(measured(drafts=None)) == (Variants(linear="plain", drafts=None, **costs), False)
    since = now[0]
    for known in ({"drafts": 3}, {"drafts": None, "pass_4": 300}):
        assert run(measured(**known)) == (Variants(linear="plain", **known), False)
    assert now[0] - since < 300, "nothing was measured again"


def test_pins():
    gpu = GpuAdapter()
    assert Variants.pinned(gpu, "linear=plain,tiles=0,drafts=3") == Variants(linear="plain", tiles=0, drafts=3)
    found = Variants.pinned(gpu, "linear=plain,pass_2=127,pass_8=400")
    assert found == Variants(linear="plain", drafts=None, pass_2=127, pass_8=400)
    assert found.pass_costs == {1: 1, 2: 1.27, 8: 4} and found.pass_rows == (1, 2, 8)
    assert Variants.pinned(gpu, found.found) == found
    for wrong in (
        "",
        "linear=staged_subgroups",
        "linear",
        "linear=fast",
        "tiles=many",
        "shape=3",
        "subgroup=8",
        "attention=100",
        "quads=2",
        "of=1",
        "block_tokens=0",
        "block_tokens=129",
        "workgroup=0",
        "drafts=8",
        "pass_1=100",
        "pass_3=120",
        "pass_2=10000",
        "pass_2=1.2",
        "attention_splits=0",
        "tiles=" + 5000 * "9",
        "lanes=2",
    ):
        with pytest.raises(UserError, match="linear=plain"):
            Variants.pinned(gpu, wrong)
    assert Variants.pinned(replace(gpu, subgroup=32), "linear=staged_subgroups") == Variants(
        linear="staged_subgroups", subgroup=32, drafts=None
    )


@pytest.mark.parametrize("linear", LINEAR[1:])
@pytest.mark.parametrize("subgroup", [4, 8, 32, 128])
@pytest.mark.parametrize(
    "most, storage", [(256, 16384), (1024, 16384), (256, 32768), (1024, 32768), (1024, 49152), (1024, 65536)]
)
def test_shapes_stay_within_a_gpus_limits(linear, subgroup, most, storage):
    layout = Variants(linear=linear, subgroup=subgroup, largest_workgroup=most, workgroup_storage=storage)
    for rows in (1, 2, 5, 8, 256):
        for outputs in (2, 48, 3072, 3584, 6144, 18432, 131072):
            for columns in (32, 96, 416, 1280, 2048, 3072, 4096, 5120, 6976, 9216, 12800):
                shape = layout.staged_shape(rows, outputs, columns)
                invocations, lanes, kept = shape["WORKGROUP"], shape["LANES"], shape["CHUNK"] * shape["ROWS"]
                together = shape.get("SUBGROUP", 1)
                parts = lanes // together
                # parts/linear_staged.wgsl: kept, scale_of_kept, squares_of, sums_of; parts/sums_in_memory.wgsl: values
                variables = [
                    kept * 9 * 16,
                    kept * 4,
                    8 * invocations // together,
                    16 * invocations // lanes * (shape["ROWS"] * shape["OUTPUTS"] // 4 + 1) * (parts + 1),
                    0 if linear == "staged_subgroups" else 4 * invocations,
                ]
                nbytes = sum(-(-variable // 16) * 16 for variable in variables)
                assert nbytes <= storage and invocations <= most, (rows, outputs, columns, shape)
                assert invocations % lanes == 0 and columns // 32 % shape["CHUNK"] == 0
                assert lanes >= shape["ROWS"] * shape["OUTPUTS"] // 2, "each pair is some lane's to end"
                assert subgroup % together == lanes % together == 0


def test_a_browser_without_packed_dot_products():
    assert Variants.of(GpuAdapter(packed_dot=False)) == Variants(linear="plain", drafts=None)
