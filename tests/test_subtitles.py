"""Words with times -> segments -> SubRip, WebVTT and tab-separated values."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.subtitles import (
    LONGEST_LINE,
    LONGEST_SEGMENT,
    PAUSE,
    SHORTEST_SEGMENT,
    Segment,
    segments,
    srt,
    tsv,
    vtt,
)
from voxtab.words import Word

SEGMENTS = [Segment("Hello tab.", 0.1, 0.9), Segment("a<b &c", 59.9996, 3661.25)]


def cut(words, transcript=None):
    return segments(words, transcript or " ".join(word.text for word in words))


def texts(words, transcript=None):
    return [segment.text for segment in cut(words, transcript)]


def test_srt():
    assert srt(SEGMENTS) == (
        "1\n00:00:00,100 --> 00:00:00,900\nHello tab.\n\n2\n00:01:00,000 --> 01:01:01,250\na<b &c\n"
    )


def test_vtt():
    assert vtt(SEGMENTS) == (
        "WEBVTT\n\n00:00:00.100 --> 00:00:00.900\nHello tab.\n\n00:01:00.000 --> 01:01:01.250\na&lt;b &amp;c\n"
    )


def test_tsv():
    assert tsv(SEGMENTS) == "start\tend\ttext\n100\t900\tHello tab.\n60000\t3661250\ta<b &c\n"


def test_no_words():
    assert cut([]) == [] and (srt([]), vtt([]), tsv([])) == ("", "WEBVTT\n\n", "start\tend\ttext\n")


def test_a_segment_ends_at_a_sentence_a_pause_and_a_full_line():
    def spoken(*ends):
        return [Word("word", end - 0.2, end) for end in ends]

    assert texts([Word("One.", 0, 1), Word("Two?", 1, 2), Word("three", 2, 3)]) == ["One.", "Two?", "three"]
    assert texts(spoken(1, 1.2 + PAUSE - 0.01)) == ["word word"]
    assert texts(spoken(1, 1.2 + PAUSE)) == ["word", "word"]
    assert texts([Word("a", 0, 1), *[Word("a", i, i + 1) for i in range(1, 7)]]) == ["a a a a a a", "a"]
    assert LONGEST_SEGMENT == 6
    full = [Word("x" * 20, 0, 1), Word("y" * (LONGEST_LINE - 21), 1, 2)]
    assert texts(full) == ["x" * 20 + " " + "y" * (LONGEST_LINE - 21)]
    assert len(texts([full[0], Word(full[1].text + "y", 1, 2)])) == 2


@pytest.mark.parametrize(
    "end",
    ["क्या।", "हाँ॥", "ماذا؟", "نعم۔", "好。", "吗？", "好｡", "ဟုတ်။", "አዎ።", "Այո։", "បាទ។", "really?!", "so…."]
    + ['"Stop."', "(Stop!)", "«Да.»", "「好。」", "“Yes.”", "‘Yes.’)"],
)
def test_a_sentence_ends_in_any_script(end):
    assert texts([Word(end, 0, 1), Word("next", 1, 2)]) == [end, "next"]
    assert len(texts([Word(end + "x", 0, 1), Word("next", 1, 2)])) == 1


@pytest.mark.parametrize("mark", [",", "،", "、", ";", ":", "-", "'"])
def test_no_sentence_ends_there(mark):
    assert len(texts([Word("word" + mark, 0, 1), Word("next", 1, 2)])) == 1


def test_words_without_spaces_between_them_have_none_in_a_segment():
    assert texts([Word("你好", 0, 0.4), Word("世界", 0.4, 0.8), Word("ok", 0.9, 1)], "你好世界 ok") == ["你好世界 ok"]


def test_a_segment_is_long_enough_to_be_read():
    """Text at the first token, and text of a flush, whose words all end with the audio."""
    first = [Word("I.", 0, 0), Word("Am.", 0, 0.08)]
    assert cut([*first, Word("Here.", 3, 3.1)]) == [
        Segment("I. Am.", 0, SHORTEST_SEGMENT),
        Segment("Here.", pytest.approx(3.1 - SHORTEST_SEGMENT), 3.1),
    ]
    assert cut(first) == [Segment("I. Am.", 0, SHORTEST_SEGMENT)]  # the audio is shorter
    last = [Word("Go", 3, 4), Word("now.", 4, 5), Word("Yes.", 5, 5), Word("No.", 5, 5)]
    assert cut(last) == [Segment("Go now.", 3, 5), Segment("Yes. No.", 5, 5 + SHORTEST_SEGMENT)]
    assert cut([Word("Yes.", 1, 1.2), Word("No.", 2, 2.2)])[0] == Segment("Yes.", 1, 1 + SHORTEST_SEGMENT)


GAPS = st.sampled_from([0.0, 0.04, 0.08, 0.3, 0.8, 1.0, 2.5])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.text("ab.।", min_size=1, max_size=30), st.sampled_from(["", " "]), GAPS, GAPS)))
def test_any_words(spoken):
    """No segment is too short, none overlaps the next, and all words are there, each in a segment of its time."""
    words, transcript, at = [], "", 0.0
    for text, space, pause, length in spoken:
        words.append(Word(text, at + pause, at := at + pause + length))
        transcript += space + text
    found = cut(words, transcript)
    assert "".join(segment.text.replace(" ", "") for segment in found) == "".join(text for text, *_ in spoken)
    end = 0.0
    for segment in found:
        assert segment.start >= end and segment.end >= segment.start + SHORTEST_SEGMENT - 1e-9
        end = segment.end
