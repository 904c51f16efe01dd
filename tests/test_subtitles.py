"""Words with times -> SubRip and WebVTT."""

from voxtab.subtitles import LONGEST_CUE, LONGEST_LINE, PAUSE, cues, srt, vtt
from voxtab.words import Word

WORDS = [
    Word("Hello", 0.1, 0.4),
    Word("tab.", 0.5, 0.8),
    Word("It", 2.5, 2.6),
    Word("works.", 2.7, 3661.25),
]


def texts(words, transcript=None):
    return [cue.text for cue in cues(words, transcript or " ".join(word.text for word in words))]


def test_srt():
    assert srt(WORDS, "Hello tab. It works.") == (
        "1\n00:00:00,100 --> 00:00:00,800\nHello tab.\n\n"
        "2\n00:00:02,500 --> 00:00:02,600\nIt\n\n"
        "3\n00:00:02,700 --> 01:01:01,250\nworks.\n"
    )


def test_vtt():
    assert vtt([Word("a<b", 59.9996, 60.25), Word("&c", 60.25, 61)], "a<b &c") == (
        "WEBVTT\n\n00:01:00.000 --> 00:01:01.000\na&lt;b &amp;c\n"
    )


def test_no_words():
    assert srt([], "") == "" and vtt([], "") == "WEBVTT\n\n"


def test_a_cue_ends_at_a_sentence_a_pause_and_a_full_line():
    def spoken(*ends):
        return [Word("word", end - 0.2, end) for end in ends]

    assert texts([Word("One.", 0, 1), Word("Two?", 1, 2), Word("三。", 2, 3), Word("four", 3, 4)]) == [
        "One.",
        "Two?",
        "三。",
        "four",
    ]
    assert texts(spoken(1, 1.2 + PAUSE - 0.01)) == ["word word"]
    assert texts(spoken(1, 1.2 + PAUSE)) == ["word", "word"]
    assert texts([Word("a", 0, 1), *[Word("a", i, i + 1) for i in range(1, 7)]]) == ["a a a a a a", "a"]
    assert LONGEST_CUE == 6
    full = [Word("x" * 20, 0, 0.1), Word("y" * (LONGEST_LINE - 21), 0.1, 0.2)]
    assert texts(full) == ["x" * 20 + " " + "y" * (LONGEST_LINE - 21)]
    assert len(texts([full[0], Word(full[1].text + "y", 0.1, 0.2)])) == 2


def test_words_without_spaces_between_them_have_none_in_a_cue():
    assert texts([Word("你好", 0, 0.4), Word("世界", 0.4, 0.8), Word("ok", 0.9, 1)], "你好世界 ok") == ["你好世界 ok"]
