#!/usr/bin/env python3
"""Measures onnxruntime-web's MatMulNBits on the products of a decoder step of the 4B model, in headless Chromium.

Weights have four bits, in blocks of 32 with float32 scales; activations are float32. One model has the products of all
26 layers, another one the head. Both run through WebGPU, with graph capture and without. Figures are milliseconds of a
pass, without the wait for the queue. Prints JSON.

npm brings the runtime's three files into .compare/onnxruntime-web.tar.xz. For a machine without a network, carry that
file there; Chromium, Playwright and the Python package onnx are needed as well.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

try:
    import onnx
except ModuleNotFoundError as missing:
    sys.exit(f"The Python package {missing.name} is missing: pip install -r tools/compare/requirements.txt.")
from onnx import TensorProto, helper
from playwright.sync_api import TimeoutError, sync_playwright

from synthetic import TINY, VOXTRAL_4B
from voxtab.config import ModelConfig
from voxtab.native.server.run import serving
from voxtab.native.server.site import Site

HERE = Path(__file__).resolve().parent
VERSION = "1.30.0"
RUNTIME = HERE.parent.parent / ".compare" / "onnxruntime-web.tar.xz"
FILES = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
BLOCK = 32


def bring_runtime() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            ["npm", "pack", "--silent", f"onnxruntime-web@{VERSION}"], cwd=scratch, check=True, stdout=sys.stderr
        )
        (package,) = Path(scratch).iterdir()
        with tarfile.open(package) as archive:
            for name in FILES:
                archive.extract(f"package/dist/{name}", scratch, filter="data")
        RUNTIME.parent.mkdir(exist_ok=True)
        with tarfile.open(RUNTIME, "w:xz") as archive:
            for name in FILES:
                archive.add(Path(scratch, "package/dist", name), name)


def initializer(name: str, type: int, shape: tuple[int, ...], offset: int, nbytes: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=type, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights", "offset": offset, "length": nbytes}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


class Products:
    """A model of MatMulNBits nodes, and where its tensors lie in the file of weights that the page makes.

    A second matrix of the same name is another tensor with the same bytes of the file.
    """

    def __init__(self):
        self.nodes, self.initializers = [], []
        self.places: dict[str, tuple[int, int]] = {}  # offsets of a matrix's nibbles and of its scales
        self.scales: list[tuple[int, int]] = []  # (offset, count) of each matrix's
        self.file_bytes = self.bytes_read = 0

    def _place(self, nbytes: int) -> int:
        offset, self.file_bytes = self.file_bytes, self.file_bytes + -(-nbytes // 64) * 64
        return offset

    def product(self, name: str, rows: int, columns: int, x: str, plus: str = "") -> str:
        """Add y [rows] = W [rows, columns] x, plus the vector `plus` if given. Returns the name of y."""
        blocks = rows * columns // BLOCK
        if name not in self.places:
            self.places[name] = self._place(blocks * BLOCK // 2), self._place(4 * blocks)
            self.scales.append((self.places[name][1], blocks))
        nibbles, scales = self.places[name]
        y = f"{name}.{len(self.nodes)}"
        self.initializers += [
            initializer(
                f"{y}.nibbles", TensorProto.UINT8, (rows, columns // BLOCK, BLOCK // 2), nibbles, blocks * BLOCK // 2
            ),
            initializer(f"{y}.scales", TensorProto.FLOAT, (blocks,), scales, 4 * blocks),
        ]
        self.nodes.append(
            helper.make_node(
                "MatMulNBits",
                [x, f"{y}.nibbles", f"{y}.scales"] + (["", "", plus] if plus else []),
                [y],
                name=y,
                domain="com.microsoft",
                K=columns,
                N=rows,
                bits=4,
                block_size=BLOCK,
            )
        )
        self.bytes_read += blocks * (BLOCK // 2 + 4)
        return y

    def term(self, name: str, times: int, columns: int) -> dict:
        """One term of an output's sum: `times` times a matrix times the input with this many columns."""
        nibbles, scales = self.places[name]
        return {"times": times, "columns": columns, "nibbles": nibbles, "scales": scales}

    def write(
        self, path: Path, inputs: dict[str, int], outputs: dict[str, int], terms: list[dict], plus: int = 0
    ) -> dict:
        """Write the model, and describe it for the page. The first output is the sum of `terms`, plus an input."""

        def vectors(widths):
            return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [width]) for name, width in widths.items()]

        graph = helper.make_graph(self.nodes, path.stem, vectors(inputs), vectors(outputs), self.initializers)
        # By default onnx writes a format that is too new for the runtime.
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, ir_version=10, opset_imports=opsets)
        path.write_bytes(model.SerializeToString())
        return {
            "url": path.name,
            "nbytes": self.file_bytes,
            "scales": self.scales,
            "inputs": list(inputs.items()),
            "output": next(iter(outputs)),
            "check": {"rows": [0, 1, next(iter(outputs.values())) - 1], "plus": plus, "terms": terms},
        }


def write_layers(path: Path, config: ModelConfig) -> tuple[dict, int]:
    """The products of all layers, four a layer, and the bytes of their weights.

    wo and w2 add to the input of the next product, as in the model. The results of wqkv and of w1 with w3 are added up
    from layer to layer instead of being used, so that the runtime drops none. What other operators would compute is an
    input of the model.
    """
    stack = config.decoder
    widths = {"x": stack.width, "attention": stack.heads * stack.head_dim, "gated": stack.hidden}
    products = Products()
    x, qkv, gate_up = "x", "", ""
    for _ in range(stack.layers):
        qkv = products.product("wqkv", stack.qkv_rows, stack.width, x, qkv)
        x = products.product("wo", stack.width, widths["attention"], "attention", x)
        gate_up = products.product("w1w3", 2 * stack.hidden, stack.width, x, gate_up)
        x = products.product("w2", stack.width, stack.hidden, "gated", x)
    outputs = {x: stack.width, qkv: stack.qkv_rows, gate_up: 2 * stack.hidden}
    # All layers have the same bytes, so their sum is one layer's result times the number of layers.
    terms = [products.term("wo", stack.layers, widths["attention"]), products.term("w2", stack.layers, stack.hidden)]
    return products.write(path, widths, outputs, terms, plus=stack.width), products.bytes_read


def write_head(path: Path, config: ModelConfig) -> tuple[dict, int]:
    """The product that gives the logits, and the bytes of its weights."""
    products, width = Products(), config.decoder.width
    y = products.product("head", config.vocabulary, width, "x")
    return products.write(
        path, {"x": width}, {y: config.vocabulary}, [products.term("head", 1, width)]
    ), products.bytes_read


def measured(page, seconds: float, **what) -> dict:
    """What the page's measure() resolves to. RuntimeError if it fails or takes longer than `seconds`."""
    page.evaluate(
        """what => {
        window.got = null;
        measure(what).catch(error => ({ failed: String(error) })).then(got => { window.got = got; });
    }""",
        what,
    )
    try:
        page.wait_for_function("window.got", timeout=1000 * seconds, polling=500)  # polling takes the page's time
    except TimeoutError:
        raise RuntimeError(f"onnxruntime-web did not finish in {seconds:g} s. Raise --seconds.") from None
    got = page.evaluate("window.got")
    if "failed" in got:
        raise RuntimeError(f"onnxruntime-web: {got['failed']}")
    if not got["error"] <= 1e-5:  # NaN is wrong too
        raise RuntimeError(f"onnxruntime-web's sums have a relative error of {got['error']:.1e}.")
    return got


def compare(config: ModelConfig, least_ms: float, repeats: int, seconds: float) -> dict:
    """Milliseconds of a pass of each model, with graph capture and without. Each may take `seconds`."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        with tarfile.open(RUNTIME) as archive:
            archive.extractall(scratch, filter="data")
        shutil.copy(HERE / "with_onnxruntime.html", Path(scratch, "index.html"))
        models = {
            "layers": write_layers(Path(scratch, "layers.onnx"), config),
            "head": write_head(Path(scratch, "head.onnx"), config),
        }
        with serving(Site(scratch, {})) as url:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium-headless-shell"),
                chromium_sandbox=False,
                args=["--enable-unsafe-webgpu"],
            )
            try:
                page = browser.new_page()
                page.on("pageerror", lambda error: print(error, file=sys.stderr))
                page.goto(url)
                page.wait_for_function("window.ready")
                results = {}
                for name, (model, nbytes) in models.items():
                    for how, capture in (("graph_capture", True), ("no_capture", False)):
                        got = measured(page, seconds, model=model, capture=capture, leastMs=least_ms, repeats=repeats)
                        ms = sorted(got["ms"])
                        results[f"{name}_{how}"] = {
                            "ms": {
                                "median": round(statistics.median(ms), 4),
                                "least": round(ms[0], 4),
                                "most": round(ms[-1], 4),
                            },
                            "tbs": round(nbytes / statistics.median(ms) / 1e9, 4),
                            "passes": got["passes"],
                            "wait_ms": round(got["wait"], 3),
                            "session_gpu_bytes": got["sessionBytes"],
                            "weight_bytes": nbytes,
                        }
                return {
                    "onnxruntime_web": got["version"],
                    "onnx": onnx.__version__,
                    "chromium": browser.version,
                    "gpu": got["gpu"],
                } | results
            finally:
                browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bring", action="store_true", help="only download the runtime's files, for a machine without a network"
    )
    parser.add_argument("--tiny", action="store_true", help="only two narrow layers, to see that it runs")
    parser.add_argument("--least-ms", type=float, default=100, help="least length of a measurement (default: 100)")
    parser.add_argument("--repeats", type=int, default=9, help="measurements (default: 9)")
    parser.add_argument("--seconds", type=float, default=60, help="time limit of each of the four runs (default: 60)")
    options = parser.parse_args()
    if options.bring or not RUNTIME.exists():
        bring_runtime()
    if not options.bring:
        print(
            json.dumps(
                compare(TINY if options.tiny else VOXTRAL_4B, options.least_ms, options.repeats, options.seconds),
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
