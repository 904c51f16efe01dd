"""tools/tiny, plain English: what needs neither torch nor a voice."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tools/tiny"))

import english
import package_texts
import vocabulary

NAMES = {"anna", "monday"}


@pytest.mark.parametrize(
    ("say", "text"),
    [
        ("call anna on monday", "Call Anna on Monday."),
        ("what time is it", "What time is it?"),
        ("is the door locked", "Is the door locked?"),
        ("K L M seven", "K L M seven."),
        ("a table, please", "A table, please."),
        ("i think i'm late!", "I think I'm late!"),
    ],
)
def test_spoken_words_as_a_sentence(say, text):
    assert english.write_out(say, NAMES) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("the old boat; it leaks", "The old boat, it leaks."),
        ('"Really?" he asked', "Really? he asked."),
        ("It is late. Go home.", "It is late. Go home."),
        ("They met in 1912.", None),
        ("said Mr.", None),
        ("hold your breath", "Hold your breath."),
        ("Did he go?? ", "Did he go?"),
    ],
)
def test_lines_in_the_characters_that_the_model_writes(line, text):
    assert english.tidy(line) == text


def test_names_stand_with_a_capital_inside_sentences():
    lines = ["We saw Paris.", "In Paris it rains.", "The rain in Paris.", "He may go.", "I like May.", "So may I."]
    assert "paris" in english.proper_names(lines) and "may" not in english.proper_names(lines)


def test_words_are_compared_without_capitals_and_marks():
    assert english.normalised("Well, I don’t know: 'maybe'!") == ["well", "i", "don't", "know", "maybe"]


def test_every_sentence_is_said_word_for_word():
    names = english.SHARES.keys() - {"commands", "spoken_numbers"}
    sources = {name: ["A man sat down.", "Is it late?"] for name in names}
    written = list(english.sentences(sources, NAMES, ["the cat sat on the mat"], 400, random.Random(1)))
    assert len(written) > 350 and len({t["group"] for t in written}) > 12
    for t in written:
        assert english.normalised(t["text"]) == english.normalised(t["say"])
        assert t["text"][0].isupper() and t["text"][-1] in ".?!"
    assert {"group": "wordnet", "say": "a man sat down.", "text": "A man sat down."} in written


def test_sentences_for_validation_are_no_others():
    many = [f"Sentence {a} {b}." for a in "abcdefghij" for b in "abcdefghij"]
    kept = [s for s in many if english.kept_for_validation(s)]
    assert 0 < len(kept) < 10 and english.kept_for_validation(kept[0].lower())


def test_sentences_with_rare_words_come_first():
    lines = [{"text": t} for t in ["The cat."] * 30 + ["The violoncello."]]
    kept = english.rare_first(lines)
    assert len(kept) == 31 and kept.index(lines[-1]) == english.OFTEN + 3  # after three of the others


def test_what_validates_shares_six_words_with_no_sentence():
    never = english.runs(["one", "two", "three", "four", "five", "six", "seven"])
    assert never == {("one", "two", "three", "four", "five", "six"), ("two", "three", "four", "five", "six", "seven")}


def test_prose_is_cut_into_clauses():
    parts = list(package_texts.clauses("He said: “Go on, my friend!” " + "One, two three four, " * 8 + "end."))
    assert parts[:3] == ["He said", "", "Go on, my friend!"] and max(len(p.split()) for p in parts) <= 22


def test_marks_are_pieces_of_their_own():
    assert vocabulary.chunks("test.") == [" test", "."] and vocabulary.chunks("don't") == [" don't"]
    pieces = vocabulary.learn({"test.": 5, "test": 5}, 4)
    assert b" test" in pieces and not any(b"t." in p for p in pieces)
