"""tools/bench opening: how long a model takes to open in a process of its own."""

import os

from bench import opening


def test_a_process_tells_when_it_reached_each_stage():
    run = opening._open(None, dict(os.environ))
    assert run["gpu"] and list(run["at"]) == ["python", "read", "loaded", "silence"]
    assert sorted(run["at"].values()) == list(run["at"].values())


def test_the_first_start_has_empty_caches_and_the_next_ones_what_it_left(monkeypatch):
    runs = []

    def opened(model, environment):
        folder = environment["XDG_CACHE_HOME"]
        runs.append((model, folder, os.listdir(folder)))
        open(os.path.join(folder, f"kernel {len(runs)}"), "w").close()
        return {"gpu": "G", "at": {"python": len(runs) / 10, "silence": 10.0 * len(runs)}}

    monkeypatch.setattr(opening, "_open", opened)
    found = opening.opening("M")
    assert [len(kept) for _, _, kept in runs] == list(range(1 + opening.AGAIN))
    assert {model for model, _, _ in runs} == {"M"} and not os.path.exists(runs[0][1])
    assert found == {
        "gpu": "G",
        "first": {"python": 0.1, "silence": 10.0},
        "again": {"python": 0.4, "silence": 40.0},
        "again_s": [20.0, 30.0, 40.0, 50.0, 60.0],
    }
