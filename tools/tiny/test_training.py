"""What needs torch, in the environment that README.md makes. The project's own tests do without torch."""

import kokoro_torch
import model
import muon
import numpy as np
import pronunciation
import pytest
import real
import sound_labels
import streams
import torch
import train


def small(**others):
    return model.Model(model.config_of_shape("64x1,128x1", vocabulary=1300, **others)).eval()


def test_muon_of_many_matrices_is_that_of_each():
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(*shape)) for shape in ((8, 32), (8, 32), (32, 8))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    a = muon.Muon(ours, lr=0.1, weight_decay=0.05)
    b = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        assert (p - q).abs().max() < 0.02 * q.abs().max()


def test_streams_of_different_delays_in_one_batch():
    m = small()
    audio, tokens = torch.randn(2, 80, 128), torch.randint(1000, 1300, (2, 80))
    together = m(audio, tokens, torch.tensor([3, 30]))
    for i, delay in enumerate((3, 30)):
        assert torch.allclose(m(audio[i : i + 1], tokens[i : i + 1], torch.tensor([delay]))[0], together[i], atol=1e-4)
    assert not torch.allclose(together[0], m(audio[:1], tokens[:1], torch.tensor([30]))[0], atol=1e-3)


def test_greedy_decoding_is_the_forward_pass_step_by_step():
    m = small()
    audio = torch.randn(1, 60, 128)
    tokens = m.greedy(audio, 3)
    logits = m(audio, tokens[:, :-1], torch.tensor([3]))
    assert (tokens[0, :36] == torch.tensor([1] + [32] * 35)).all() and (
        logits[0, 35:].argmax(-1) == tokens[0, 36:]
    ).all()


def test_a_longer_delay_moves_every_word():
    words = [(0.5, [1005]), (1.0, [1006, 1007])]
    early, late = (streams.write_tokens(words, 80, delay) for delay in (3, 12))

    def at(tokens):
        return np.flatnonzero(tokens >= 1000)

    assert (at(late) - at(early) == 9).all() and len(at(early)) == 3


def test_word_ends_move_back_over_the_pause():
    r = np.random.default_rng(1)
    samples = np.concatenate([r.standard_normal(8000), np.zeros(8000), r.standard_normal(8000)]) * 0.1
    assert real.before_the_pause(samples, [1.0, 1.5]) == pytest.approx([0.52, 1.5], abs=0.03)


def test_people_are_in_training_or_in_validation():
    rows = [
        {"speaker": f"{i:04}", "note": f"age={age}|f"}
        for i, age in enumerate([8, 17, 30, 16, 20, 41, 22, 19, 25, 33, 28])
    ]
    kept = real.held_out(rows, "speechocean-train")
    assert kept == {"0001", "0007"}


def test_no_sentence_of_validation_is_in_training():
    rows = [
        {"speaker": speaker, "text": text}
        for speaker, text in [("a", "It was good."), ("b", "it was good"), ("b", "Go on."), ("b", ""), ("a", "")]
    ]
    assert real.others(rows, {"a"}) == rows[2:4]


def test_marks_of_words_in_phonemes():
    assert kokoro_torch.word_marks("həlˈO, ðɪs.") == (0, [4, 9])


def test_resampling_keeps_a_tone():
    t = torch.arange(24000) / 24000
    tone = kokoro_torch.to_16k(torch.sin(2 * torch.pi * 440 * t)[None])
    assert torch.allclose(tone[0], torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000), atol=1e-3)


def test_a_matrix_in_int8_is_nearly_itself():
    w = torch.randn(6, 5, 3)
    q, scale = model.to_int8(w)
    assert q.dtype == torch.int8 and (q.float() * scale[:, None, None] - w).abs().max() < w.abs().max() / 250


@pytest.mark.skipif(not torch.cuda.is_available(), reason="FlashAttention is NVIDIA's only")
def test_flash_attention_sees_the_window_alone():
    layer = small().encoder[0]
    q, k, v = (torch.randn(2, 3, 300, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    layer.heads = layer.kv_heads = 3
    fast, plain = model.flash(q, k, v, 128), layer.attend_in_blocks(q.float(), k.float(), v.float(), 128)
    assert (fast.float() - plain).abs().max() < 0.03
    assert (torch.autograd.grad(fast.sum(), v)[0].float() - torch.autograd.grad(plain.sum(), v)[0]).abs().max() < 0.1
    k, v = k[:, :1], v[:, :1]
    layer.kv_heads = 1
    plain = layer.attend_in_blocks(q.float(), k.float(), v.float(), 128)
    assert (model.flash(q, k, v, 128).float() - plain).abs().max() < 0.03


def test_rounded_weights_come_back():
    m = small()
    before = {k: v.clone() for k, v in m.state_dict().items()}
    kept = model.round_weights(m)
    assert torch.equal(m.encoder[0].wq.weight, model.q4_0(before["encoder.0.wq.weight"]))
    assert not torch.equal(m.encoder[0].wq.weight, before["encoder.0.wq.weight"])
    model.restore_weights(m, kept)
    assert all(torch.equal(v, before[k]) for k, v in m.state_dict().items())


def test_labels_of_sounds():
    vocab = {"h": 50, "ə": 83, "l": 54, "ˈ": 156, "O": 31, "ː": 158, " ": 16, ".": 4}
    labels = kokoro_torch.sounds_of("həlˈOː .", vocab).tolist()
    assert labels == [streams.SILENCE, 51, 84, 55, 32, 32, 32, 17, streams.SILENCE, streams.SILENCE]


def test_a_pool_takes_in_what_is_complete(tmp_path):
    def write(clips, labels, mode):
        with open(tmp_path / "kokoro-00.i16", mode) as f:
            f.write(np.full(clips * 1600, 7, "<i2").tobytes())
        with open(tmp_path / "kokoro-00.u8", mode) as f:
            f.write(bytes([labels] * clips * 10))

    def line(i):
        return f'{{"start": {1600 * i}, "n": 1600, "voice": "kokoro/mixed", "words": [["Hi.", 0.05]]}}\n'

    pool = streams.Pool(tmp_path, {"kokoro": 1}, "cpu", hours=0.01)
    write(1, 30, "wb")
    (tmp_path / "kokoro-00.jsonl").write_text(line(0) + line(1)[:9])
    (first,) = pool.refresh()
    assert pool.refresh() == []
    (tmp_path / "kokoro-00.jsonl").write_text(line(0) + line(1))
    assert pool.refresh() == []  # its samples are still missing
    write(1, 40, "ab")
    (second,) = pool.refresh()

    class Bytes:
        def encode(self, word):
            return list(word.encode())

    clips = [c for _, *where in (first, second) for c in streams.read_index(*where, Bytes())]
    assert [c[3] for c in clips] == [[(0.05, [72, 105, 46], "hi")]] * 2
    for (start, n, *_), label in zip(clips, (30, 40), strict=True):
        assert (pool.samples[start : start + n] == 7).all()
        assert (pool.labels[start // streams.LABEL : (start + n) // streams.LABEL] == label).all()


def test_sounds_are_laid_along_their_probabilities():
    vocab = {"a": 43, "b": 44, "k": 53, "ˈ": 156, " ": 16, ".": 4}
    labels, costs, words = sound_labels.nodes_of("ˈab ka.", vocab)
    assert labels.tolist() == [1, 44, 45, 1, 54, 44, 1] and words.tolist() == [-1, 0, 0, -1, 1, 1, -1]
    spoken = [0, 0, 1, 1, 1, 2, 4, 4, 5, 6, 6]  # node of each state: no silence between the words
    logs = np.full((len(spoken), streams.LABELS), -5.0)
    logs[np.arange(len(spoken)), labels[spoken]] = -0.1
    path, mean = sound_labels.lay(logs[:, labels], costs)
    assert path.tolist() == spoken and mean == pytest.approx(-0.1)
    clip = {"group": "an4", "phonemes": "ˈab ka.", "words": [["Ab", 0.0], ["ka.", 0.0]]}
    sounds, moved = sound_labels.labelled((clip, logs, vocab))
    assert moved["words"] == [["Ab", 0.12], ["ka.", 0.18]] and sounds.tolist()[::2] == labels[spoken].tolist()
    assert sound_labels.labelled((clip, logs - 3, vocab)) is None  # fits badly
    path, _ = sound_labels.lay(np.zeros((400, 300)), np.full(300, np.inf))
    assert path[0] == 0 and path[-1] == 299 and set(np.diff(path)) <= {0, 1}


def test_a_learners_sounds_are_labelled_as_they_were_said():
    vocab = {"a": 43, "b": 44, "k": 53, "d": 46, "p": 58, "ˈ": 156, " ": 16, ".": 4}
    clip = {"group": "speechocean-train", "phonemes": "ˈab kˈad.", "words": [["Ab", 0.0], ["kad.", 0.0]]}
    said = [44, 44, 59, 59, 54, 54, 44, 44, 1, 1]  # "ap ka"
    logs = np.full((len(said), streams.LABELS), -8.0)
    logs[np.arange(len(said)), said] = -0.1
    sounds, moved = sound_labels.labelled((clip, logs, vocab))
    assert sounds.tolist()[::2] == said and moved["words"] == [["Ab", 0.08], ["kad.", 0.16]]
    sounds, _ = sound_labels.labelled(({**clip, "group": "librispeech-speakers"}, logs, vocab))
    assert 59 not in sounds  # a reader's b does not become a p


def test_a_stream_is_mixed():
    r = np.random.default_rng(1)
    pool = streams.Pool("nowhere", {"kokoro": 1}, "cpu", hours=0.01)
    pool.samples[160:48160] = torch.from_numpy((r.standard_normal(48000) * 3000).astype(np.int16))
    pool.labels[1:301] = 60
    clip = (160, 48000, 0.02, [(1.0, [1100], "one"), (2.0, [1101], "two"), (2.9, [1102], "three")], False)
    p, tokens, delays, *_ = streams.plan({"kokoro": [clip]}, {"kokoro": 1.0}, 6, [3, 30], r)
    samples, clean, labels = streams.mix(pool, {k: torch.from_numpy(v) for k, v in p.items()})
    assert samples.shape == clean.shape == (6, streams.LIVE * 1280) and labels.shape == (6, streams.LIVE * 4)
    assert samples.abs().max() <= 1 and samples.isfinite().all()
    spoken = clean.abs().unflatten(1, (-1, 320)).amax(2) > 0.01
    assert ((labels == 60) == spoken).float().mean() > 0.99
    for row, live in zip(samples, p["live"], strict=True):
        assert not row[live:].any()


def test_a_part_of_a_clip_has_its_own_words():
    clip = (160, 48000, 0.02, [(1.0, [1100], "one"), (2.0, [1101], "two"), (2.9, [1102], "three")], True)
    r = np.random.default_rng(2)
    for _ in range(20):
        start, n, _, words, _ = streams.part_of(clip, r)
        begin = (start - 160) / 16000
        found = [(round(e + begin, 3), ids, w) for e, ids, w in words]
        assert len(found) > 1 and found == clip[3][clip[3].index(found[0]) :][: len(found)]
        assert words[-1][0] < n / 16000 <= 3 - begin
    assert all(len(streams.part_of(clip, r, 2)[3]) == 2 for _ in range(20))


def test_other_ways_to_say_it_keep_the_words():
    r = np.random.default_rng(3)
    plain = "wˌɪð sˈʌʧ fˈɜɹðəɹ sˌɛpəɹˈAʃən, ænd ðə wˈɜɹld ʌv ɐ kˈæt."
    said = {pronunciation.pronounced(plain, r) for _ in range(200)}
    assert len(said) > 80 and plain in said
    assert all(len(kokoro_torch.word_marks(s)[1]) == 10 for s in said)


def test_a_mistake_is_never_within_a_word():
    r = np.random.default_rng(4)
    begins = np.array([True] * 1000 + [True, False, True])  # " a", "b", "."
    tokens = np.tile([1, 32, 33, 1000, 1001, 1001, 1002, 32], (500, 1))
    noisy = streams.disturb(tokens, begins, r)
    assert (noisy[:, [0, 1, 2, 3, 4, 7]] == tokens[:, [0, 1, 2, 3, 4, 7]]).all()
    assert 0 < (noisy[:, 5] != 1001).mean() < 0.3


def test_a_clip_longer_than_a_stream_is_heard_in_parts():
    long = {"start": 0, "n": 17 * 16000, "voice": "r", "words": [[w, float(i)] for i, w in enumerate("abcdefgh", 2)]}
    words = [(e, [1100], w) for w, e in long["words"]]
    clip = (160, long["n"], 0.02, words, streams.exact({**long, "aligned": -0.5}))
    assert not streams.exact(long) and clip[4]
    r = np.random.default_rng(1)
    p, tokens, *_ = streams.plan({"librispeech": [clip]}, {"librispeech": 1.0}, 30, [6], r)
    assert p["count"].max() < streams.LIVE * streams.SAMPLES and (tokens == 1100).sum() > 50


def test_masks_leave_most_of_the_time():
    torch.manual_seed(1)
    masked = streams.spec_augment(torch.ones(64, 1920, 128)) < 0
    whole = masked.all(2).float().mean()
    assert 0.02 < whole < 0.12 and whole < masked.float().mean() < 0.4


def test_two_views_that_agree_cost_nothing():
    logs = torch.randn(3, 20, 29).log_softmax(-1)
    assert train.disagreement(torch.cat([logs, logs])).abs() < 1e-6
    assert train.disagreement(torch.cat([logs, logs.roll(1, 1)])) > 0.3


def test_a_teacher_hears_each_stream_once():
    heard = []

    class Deaf(train.Teacher):
        def __init__(self):
            self.mean = None

        def states(self, clean):
            heard.append(len(clean))
            torch.manual_seed(1)
            return torch.randn(len(clean), 790, 8)

    labels = torch.full((4, 800), 60)
    labels[:, :300] = streams.SILENCE
    teacher, clean = Deaf(), torch.zeros(4, 1600)
    known = teacher.states(clean[:2])
    speaks = known[:, 300:]
    known = ((known - speaks.mean((0, 1))) / speaks.flatten(0, 1).std(0)).repeat(2, 1, 1)
    known[:, :300] = 7  # what the student makes of silence does not matter
    assert teacher.distance(known, clean, labels, 2) < 1e-5
    assert abs(teacher.distance(known + 1, clean, labels, 2) - 1) < 1e-3
    assert heard == [2, 2, 2]


def test_some_streams_have_nothing_between_clips():
    torch.manual_seed(1)
    pool = streams.Pool("nowhere", {"kokoro": 1}, "cpu", hours=0.01)
    pool.samples[160:16160] = 3000
    clip = (160, 16000, 0.02, [(0.5, [1100], "one"), (0.9, [1101], "two")], False)
    p, *_ = streams.plan({"kokoro": [clip]}, {"kokoro": 1.0}, 32, [6], np.random.default_rng(3))
    p["live"][:] = streams.LIVE * streams.SAMPLES
    samples, clean, _ = streams.mix(pool, {k: torch.from_numpy(v) for k, v in p.items()})
    between = (samples == 0).float().mean(1)[(clean != 0).any(1)]
    assert 0.1 < (between > 0.1).float().mean() < 0.5
    assert not samples[clean == 0].eq(0).all()


def test_a_voice_without_odds_is_never_mixed_in():
    table = np.array([[1.0] * 256, [1.0] * 256, [1.0] * 256, [9.0] * 256])
    odds, r = np.array([0.5, 0.25, 0.25, 0.0]), np.random.default_rng(5)
    assert np.allclose(np.mean([kokoro_torch.mixed_style(table, odds, r) for _ in range(400)]), 1, atol=0.3)
