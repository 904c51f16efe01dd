import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtab.config import PAD, WORD
from voxtab.words import Word, WordTimer

TEXT = 1000  # any text token: the timer gets its text as well


def words(*pieces, first=0, timer=None):
    """The words of pieces, one per token: "P" and "W" are control tokens, all else is text."""
    timer = timer or WordTimer()
    found = []
    for k, piece in enumerate(pieces, first):
        control = {"P": PAD, "W": WORD}.get(piece)
        found += timer.push(control or TEXT, "" if control else piece, k)
    return found + timer.flush()


def texts(*pieces):
    return [word.text for word in words(*pieces)]


def ends(*pieces, **options):
    return [word.end for word in words(*pieces, **options)]


def test_words_of_an_alphabet():
    assert texts("W", "And", "P", "W", " so", "P", "P", "W", " my", "P") == ["And", "so", "my"]


@pytest.mark.parametrize(
    "pieces, expected",
    [
        (["W", " fel", "low", "P", "W", " A"], ["fellow", "A"]),
        (["W", " fel", "P", "P", "low", "P", "W", "s", "."], ["fellows."]),
        (["W", " Hello", ",", " you", "!"], ["Hello,", "you!"]),
        (["W", " a b", "c d "], ["a", "bc", "d"]),
        (["W", " a ", "b"], ["a", "b"]),
        (["W", " ", "P", " ", "a", "\n", "b\u3000c"], ["a", "b", "c"]),
        (["W", " été", "\u00a0?"], ["été", "?"]),
        (["W", " नम", "P", "W", "स्ते"], ["नमस्ते"]),
        (["W", " السلام", "W", " عليكم"], ["السلام", "عليكم"]),
        (["W", " 안녕", "P", "W", "하세요", "P", "W", " 세계"], ["안녕하세요", "세계"]),
        (["P", "P"], []),
        ([], []),
    ],
)
def test_words_end_at_white_space(pieces, expected):
    assert texts(*pieces) == expected


@pytest.mark.parametrize(
    "pieces, expected",
    [
        (["W", "你好", "P", "W", "世界"], ["你好", "世界"]),
        (["W", "你", "好", "P", "世", "界"], ["你好", "世界"]),
        (["W", "こん", "にちは", "P", "、", "P", "W", "世界", "P", "P", "！"], ["こんにちは、", "世界！"]),
        (["W", "カメラ", "P", "ー"], ["カメラ", "ー"]),
        (["W", "他说", "P", "「", "P", "你好", "P", "」"], ["他说", "「你好」"]),
        (["W", "我用", "P", "W", "Py", "P", "thon", "P", "W", "写"], ["我用", "Python", "写"]),
        (["W", "第", "P", "3", "P", "章"], ["第", "3", "章"]),
        (["W", "你好。我"], ["你好。我"]),
    ],
)
def test_without_spaces_a_word_is_an_emission_group(pieces, expected):
    assert texts(*pieces) == expected


def test_a_word_ends_one_token_before_the_first_text_token_of_its_last_group():
    pieces = ["P"] * 10 + ["W", " so", "P", "me", "P", "W", " day", "s"]
    assert ends(*pieces) == [80 * (13 - 1) / 1000, 80 * (16 - 1) / 1000]


@pytest.mark.parametrize(
    "pieces",
    [
        ["P", "W", " 5", "P", "P", "5", "P", "P", "5", "-", "P", "P", "0", "P", "1", "P", "2", "P", "P", "3"],
        ["P", "W", " 5", "P", "W", "5", "P", "W", "5", "P", "W", "-", "0", "1", "2", "P", "W", "", "3"],
        ["P", "W", " so", "P", "P", "me"],
        ["P", "W", " ", "८", "P", "", "९"],
    ],
)
def test_a_word_that_comes_in_several_groups_ends_with_the_last(pieces):
    """As a number does that is dictated digit by digit."""
    last_group = max(k for k, piece in enumerate(pieces) if pieces[k - 1] in ("P", "W") and piece not in ("P", "W"))
    assert ends(*pieces) == [80 * (last_group - 1) / 1000]
    assert ends(*pieces, "P", "P", ".", "P", '"') == [80 * (last_group - 1) / 1000]  # punctuation is not spoken


def test_a_second_word_of_a_group_does_not_end_before_itself():
    assert ends("P", "P", "W", " a", " b", "c") == [0.16, 0.24]


def test_the_first_token_is_the_one_whose_text_was_held_back():
    assert ends("P", "W", "", "P", "", "你") == [0.08]
    assert ends("P", "W", " ", "", "P", "", "é") == [0.08]
    assert ends("P", "W", " ", "п") == [0.08]
    assert texts("W", "你", "", "P", "好") == ["你好"]


def test_a_space_long_before_does_not_date_the_word():
    assert ends("W", " a ", "P", "P", "P", "W", "b") == [0.0, 0.4]


def test_words_of_one_token_share_its_end():
    assert ends("P", "P", "P", " a b c") == [0.16] * 3


def test_no_time_is_below_zero():
    assert words(" I", "W", " am") == [Word("I", 0, 0), Word("am", 0, 0.08)]
    assert ends(" I", "P", "W", " am", first=-7) == [0, 0]


def test_a_word_begins_its_length_before_its_end_and_not_within_the_one_before():
    got = words(*["P"] * 20, " characterless", " day", *["P"] * 20, " I", *["P"] * 20, " 안녕")
    starts = [word.start for word in got]
    assert starts == pytest.approx([1.52 - 13 / 15, 1.52, 3.28 - 0.1, 4.96 - 0.4])


def test_a_word_is_given_when_the_next_begins():
    timer = WordTimer()
    given = [[word.text for word in timer.push(TEXT, text, k)] for k, text in enumerate([" a", "b", " ", "c", " d e"])]
    assert given == [[], [], [], ["ab"], ["c", "d"]]
    assert [word.text for word in timer.flush()] == ["e"]
    assert timer.flush() == []


def test_flush_starts_afresh():
    timer = WordTimer()
    assert [word.text for word in words("W", " one", timer=timer)] == ["one"]
    assert [word.text for word in words("W", "two", "P", first=2, timer=timer)] == ["two"]


def test_flush_takes_the_decoders_rest():
    timer = WordTimer()
    for k, text in enumerate([" a", " ", "", ""], 5):
        timer.push(TEXT, text, k)
    assert timer.flush("\ufffd") == [Word("a", pytest.approx(0.22), 0.32), Word("\ufffd", 0.32, 0.4)]


def test_inserted_silence_is_not_in_the_times():
    timer = WordTimer()
    got = words(*["P"] * 10, " one", timer=timer)
    timer.insert_silence(0.9, 1.4)
    got += words(" two", "P", "P", " three", first=13, timer=timer)
    got += words(" four", *["P"] * 5, " five", first=11 + 25, timer=timer)
    timer.insert_silence(2.0, 1.0)
    got += words(" six", " seven", first=51, timer=timer)
    assert [word.end for word in got] == pytest.approx([0.72, 0.9, 0.9, 2.8 - 1.4, 3.28 - 1.4, 2.0, 2.0])
    timer.insert_silence(2.5, 0.5)
    assert words(" late", first=101, timer=timer)[0].end == pytest.approx(8.0 - 2.9)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["P", "W", " ", ""]) | st.text("ab .,é你好、「カ안\n\u3000😀", max_size=4), max_size=30),
    st.text("\ufffd", max_size=1),
)
def test_any_pieces(pieces, rest):
    timer = WordTimer()
    got = []
    for k, piece in enumerate(pieces):
        control = {"P": PAD, "W": WORD}.get(piece)
        got += timer.push(control or TEXT, "" if control else piece, k)
    got += timer.flush(rest)
    transcript = "".join(piece for piece in pieces if piece not in ("P", "W")) + rest
    assert "".join(word.text for word in got) == "".join(transcript.split())
    last_end = 0.0
    for word in got:
        assert word.text and not any(map(str.isspace, word.text))
        assert last_end <= word.start <= word.end <= 80 * max(len(pieces) - 2, 0) / 1000
        last_end = word.end
