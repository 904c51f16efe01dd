#!/usr/bin/env python3
"""Step 1: sentences to synthesise, one JSON object a line: {"group", "say"}.

`say` is what a voice reads: a capital letter standing alone is a spelled letter, punctuation is
a pause. The transcript is `say` in lower case without punctuation: numbers stay words."""

import argparse
import json
import random
import re
from pathlib import Path

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
ORDINALS = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
]
MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ROOMS = [
    "kitchen",
    "bedroom",
    "living room",
    "bathroom",
    "hall",
    "office",
    "garage",
    "garden",
    "dining room",
    "basement",
    "porch",
    "nursery",
]
THINGS = [
    "lights",
    "lamp",
    "fan",
    "heater",
    "television",
    "radio",
    "coffee machine",
    "alarm",
    "music",
    "speaker",
    "camera",
    "door",
    "window",
    "blinds",
    "oven",
    "printer",
]
COLOURS = ["red", "green", "blue", "white", "yellow", "orange", "purple", "pink", "warm", "cold"]
MUSIC = [
    "jazz",
    "rock",
    "classical music",
    "some music",
    "my favourite song",
    "the next song",
    "the news",
    "a podcast",
    "quiet piano music",
    "country music",
    "the radio",
    "dance music",
    "the last album",
    "a lullaby",
    "folk songs",
    "the blues",
]
DRINKS = [
    "coffee",
    "tea",
    "green tea",
    "latte",
    "cappuccino",
    "espresso",
    "hot chocolate",
    "lemonade",
    "orange juice",
    "water",
    "milk",
    "mocha",
    "iced tea",
    "flat white",
    "apple juice",
]
FOOD = [
    "sandwich",
    "croissant",
    "muffin",
    "bagel",
    "salad",
    "soup",
    "slice of cake",
    "cookie",
    "cheese toast",
    "apple pie",
    "banana",
    "burger",
    "pizza",
    "brownie",
    "scone",
]
SIZES = ["small", "medium", "large"]
EXTRAS = [
    "milk",
    "sugar",
    "no sugar",
    "oat milk",
    "lemon",
    "cream",
    "ice",
    "no ice",
    "extra cheese",
    "butter",
    "honey",
    "soy milk",
    "a straw",
]
PLACES = [
    "home",
    "work",
    "the airport",
    "the station",
    "the library",
    "the park",
    "the hospital",
    "school",
    "the nearest bank",
    "the supermarket",
    "the city centre",
    "the museum",
]
PEOPLE = [
    "mom",
    "dad",
    "anna",
    "ben",
    "carol",
    "david",
    "emma",
    "frank",
    "grace",
    "henry",
    "irene",
    "jack",
    "kate",
    "leo",
    "maria",
    "nick",
    "olivia",
    "paul",
    "rose",
    "sam",
    "tina",
    "victor",
    "wendy",
    "john",
    "mary",
    "peter",
    "susan",
    "thomas",
    "lucy",
    "james",
    "robert",
    "linda",
    "michael",
    "barbara",
    "william",
    "elizabeth",
    "richard",
]
ITEMS = [
    "eggs",
    "bread",
    "butter",
    "rice",
    "pasta",
    "apples",
    "bananas",
    "cheese",
    "tomatoes",
    "potatoes",
    "onions",
    "soap",
    "paper",
    "batteries",
    "flour",
    "sugar",
    "salt",
    "pepper",
    "fish",
    "chicken",
]
TASKS = [
    "call the doctor",
    "buy bread",
    "water the plants",
    "feed the cat",
    "walk the dog",
    "pay the rent",
    "take out the trash",
    "pick up the kids",
    "send the letter",
    "charge the phone",
    "check the oven",
    "book a table",
    "wash the car",
    "read a book",
]
WORDS = [
    "yes",
    "no",
    "stop",
    "start",
    "go",
    "help",
    "repeat",
    "enter",
    "erase",
    "rubout",
    "cancel",
    "okay",
    "pause",
    "resume",
    "next",
    "back",
    "play",
    "undo",
    "redo",
    "up",
    "down",
    "left",
    "right",
    "open",
    "close",
    "save",
    "send",
    "delete",
    "continue",
    "quit",
    "exit",
    "hello",
    "thank you",
    "please",
    "good morning",
    "good night",
    "never mind",
    "try again",
    "go back",
    "go home",
    "wake up",
    "be quiet",
    "louder",
    "quieter",
    "faster",
    "slower",
    "turn it off",
    "turn it on",
    "yes please",
    "no thank you",
    "testing one two three",
    "next page",
    "last page",
    "new line",
    "new paragraph",
    "full stop",
    "comma",
    "question mark",
    "scroll down",
    "scroll up",
    "zoom in",
    "zoom out",
    "select all",
    "copy",
    "paste",
]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def cardinal(n, british=False):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (" " + ONES[n % 10] if n % 10 else "")
    for unit, name in ((10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if n >= unit:
            rest = n % unit
            link = " and " if british and rest and rest < 100 else " "
            return cardinal(n // unit, british) + " " + name + (link + cardinal(rest, british) if rest else "")


def ordinal(n):
    if n < 20:
        return ORDINALS[n]
    if n % 10 == 0:
        return TENS[n // 10][:-1] + "ieth"
    return TENS[n // 10] + " " + ORDINALS[n % 10]


def year(r):
    y = r.randint(1900, 2030)
    if y in range(2000, 2010):
        return cardinal(y, british=r.random() < 0.5)
    low = y % 100
    return cardinal(y // 100) + " " + ("hundred" if not low else "oh " + ONES[low] if low < 10 else cardinal(low))


class Writer:
    """One method a group; `r` is the random source."""

    def __init__(self, r, sentences):
        self.r = r
        self.sentences = sentences
        self.words = sorted({w for s in sentences for w in re.findall(r"\b[a-z]{3,9}\b", s.lower())})

    def pick(self, options):
        return self.r.choice(options)

    def join(self, items):
        """items with no pauses, with pauses everywhere, or in groups of two to four"""
        style = self.r.random()
        if style < 0.45:
            return " ".join(items)
        if style < 0.65:
            return ", ".join(items)
        out, left = [], 0
        for i, item in enumerate(items):
            left = left or self.r.randint(2, 4)
            left -= 1
            out.append(item + ("," if left == 0 and i + 1 < len(items) else ""))
        return " ".join(out)

    def digit(self):
        return (
            self.pick(["zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
            if self.r.random() < 0.9
            else self.pick(ONES[:10])
        )

    def letters(self):
        return self.join([self.pick(LETTERS) for _ in range(self.r.randint(1, 8))])

    def spelled(self):
        word = self.pick(self.words)
        spelled = self.join(list(word.upper()))
        return f"{word}, {spelled}" if self.r.random() < 0.2 else spelled

    def digits(self):
        return self.join([self.digit() for _ in range(self.r.randint(1, 9))])

    def codes(self):
        first = self.pick(["rubout", "erase", "enter", "repeat", "start", "", "", ""])
        mid = [self.pick(LETTERS) for _ in range(self.r.randint(0, 5))]
        n = self.r.randint(1, 99)
        last = [cardinal(n)] if self.r.random() < 0.5 else [self.digit() for _ in range(self.r.randint(1, 4))]
        if self.r.random() < 0.3:
            last.append(cardinal(self.r.randint(10, 99)))
        return (first + " " + self.join(mid + last)).strip()

    def numbers(self):
        k = self.r.random()
        n = self.r.randint(0, 10 ** self.r.randint(1, 6))
        if k < 0.6:
            return cardinal(n, british=self.r.random() < 0.4)
        if k < 0.75:
            return ordinal(self.r.randint(1, 99))
        if k < 0.85:
            return cardinal(n % 1000) + " point " + " ".join(self.digit() for _ in range(self.r.randint(1, 3)))
        if k < 0.93:
            return cardinal(n % 101) + " percent"
        return f"minus {cardinal(n % 100)}"

    def dates(self):
        m, d, w = self.pick(MONTHS), ordinal(self.r.randint(1, 31)), self.pick(DAYS)
        return self.pick(
            [
                f"{m} {d}, {year(self.r)}",
                f"{m} {d} {year(self.r)}",
                f"the {d} of {m}",
                f"{d} of {m}, {year(self.r)}",
                f"{w}, {m} {d}",
                f"{w} the {d}",
                f"{m} {d}",
                f"{m} {year(self.r)}",
                f"{w}",
                f"on {w}, the {d} of {m}",
                f"next {w}",
                f"tomorrow is {m} {d}",
                f"my birthday is {m} {d}",
                f"today is {w}, {m} {d}",
            ]
        )

    def times(self):
        h, m = self.r.randint(1, 12), self.r.randint(1, 59)
        minutes = ("oh " if m < 10 else "") + cardinal(m)
        ap = self.pick(["A M", "P M", "in the morning", "in the evening", "at night", "in the afternoon"])
        return self.pick(
            [
                f"{ONES[h]} {minutes}",
                f"{ONES[h]} {minutes} {ap}",
                f"half past {ONES[h]}",
                f"quarter to {ONES[h]}",
                f"quarter past {ONES[h]}",
                f"{ONES[h]} o'clock",
                f"{cardinal(m)} minutes to {ONES[h]}",
                f"at {ONES[h]} {ap}",
                f"it is {ONES[h]} {minutes}",
                f"{ONES[h]} thirty",
                f"{ONES[h]} {ap}",
                "at noon",
                "midnight",
                f"see you at {ONES[h]} {minutes}",
            ]
        )

    def money(self):
        n, c = self.r.randint(1, 10 ** self.r.randint(1, 4)), self.r.randint(1, 99)
        unit = self.pick(["dollars", "pounds", "euros"])
        return self.pick(
            [
                f"{cardinal(n)} {unit}",
                f"{cardinal(n)} {unit} and {cardinal(c)} cents",
                f"{cardinal(n)} {unit} {cardinal(c)}",
                f"{cardinal(c)} cents",
                f"that is {cardinal(n)} {unit}",
                f"pay {cardinal(n)} {unit} to {self.pick(PEOPLE)}",
            ]
        )

    def phone(self):
        groups = [[self.digit() for _ in range(k)] for k in self.pick([(3, 4), (3, 3, 4), (4, 4), (2, 3, 3), (5, 6)])]
        number = ", ".join(" ".join(g) for g in groups)
        return self.pick(["", "", "", "call ", "my number is ", "area code "]) + number

    def commands(self):
        p, r = self.pick, self.r
        n = cardinal(r.randint(1, 60))
        unit = p(["minutes", "seconds", "hours"])
        drink = f"{p(SIZES)} {p(DRINKS)}"
        clock = (
            f"{ONES[r.randint(1, 12)]} {p(['o' + chr(39) + 'clock', 'thirty', 'fifteen', 'forty five', 'P M', 'A M'])}"
        )
        say = p(
            [
                lambda: p(WORDS),
                lambda: p(WORDS),
                lambda: f"set a timer for {n} {unit}",
                lambda: f"set an alarm for {clock}",
                lambda: f"start a {n} minute timer",
                lambda: f"wake me up at {clock}",
                lambda: "stop the timer",
                lambda: "how much time is left",
                lambda: "what time is it",
                lambda: f"play {p(MUSIC)}",
                lambda: f"play {p(MUSIC)} in the {p(ROOMS)}",
                lambda: f"stop {p(['the music', 'playing'])}",
                lambda: f"turn {p(['up', 'down'])} the {p(['volume', 'music', 'heat', 'lights'])}",
                lambda: f"set the volume to {n}",
                lambda: f"volume {p(['up', 'down'])}",
                lambda: f"{p(['next', 'previous', 'skip this'])} song",
                lambda: f"turn {p(['on', 'off'])} the {p(THINGS)}",
                lambda: f"turn {p(['on', 'off'])} the {p(ROOMS)} lights",
                lambda: f"switch {p(['on', 'off'])} the {p(THINGS)} in the {p(ROOMS)}",
                lambda: f"turn the {p(THINGS)} {p(['on', 'off'])}",
                lambda: f"make the {p(ROOMS)} lights {p(COLOURS)}",
                lambda: f"dim the lights to {n} percent",
                lambda: (
                    f"{p(['open', 'close', 'lock', 'unlock'])} the "
                    f"{p(['door', 'window', 'blinds', 'garage', 'front door'])}"
                ),
                lambda: f"set the temperature to {n} degrees",
                lambda: "is the door locked",
                lambda: f"can I have a {drink}, please",
                lambda: f"one {drink} with {p(EXTRAS)}",
                lambda: f"a {drink} and a {p(FOOD)}, please",
                lambda: f"I would like a {p(FOOD)} with {p(EXTRAS)}",
                lambda: f"two {p(DRINKS)}s to go",
                lambda: "how much is it",
                lambda: f"a {p(FOOD)}, please",
                lambda: "can I pay by card",
                lambda: "the bill, please",
                lambda: "for here or to go",
                lambda: f"call {p(PEOPLE)}",
                lambda: f"send a message to {p(PEOPLE)}",
                lambda: f"tell {p(PEOPLE)} I am {p(['late', 'here', 'on my way', 'at home'])}",
                lambda: f"remind me to {p(TASKS)}",
                lambda: f"remind me to {p(TASKS)} at {clock}",
                lambda: f"remind me to {p(TASKS)} on {p(DAYS)}",
                lambda: f"add {p(ITEMS)} to {p(['my', 'the'])} shopping list",
                lambda: f"add {p(ITEMS)} and {p(ITEMS)} to the list",
                lambda: f"take me to {p(PLACES)}",
                lambda: f"how far is {p(PLACES)}",
                lambda: f"what is the weather {p(['today', 'tomorrow', 'like', 'on ' + p(DAYS)])}",
                lambda: "will it rain tomorrow",
                lambda: f"what is {n} {p(['plus', 'minus', 'times', 'divided by'])} {cardinal(r.randint(1, 60))}",
                lambda: f"go to page {n}",
                lambda: f"open {p(['the file', 'the map', 'my calendar', 'settings', 'the camera', 'my messages'])}",
                lambda: f"what is on my calendar {p(['today', 'tomorrow', 'on ' + p(DAYS)])}",
                lambda: f"{p(['good', 'well'])} {p(['done', 'morning', 'night'])}",
                lambda: f"book a table for {ONES[r.randint(1, 12)]} at {clock}",
                lambda: f"turn {p(['left', 'right'])} at the {p(['corner', 'bank', 'second light'])}",
            ]
        )()
        return ("please " if r.random() < 0.06 else "") + say

    def general(self):
        return self.pick(self.sentences)


SHARES = {
    "letters": 13,
    "spelled": 9,
    "digits": 8,
    "codes": 6,
    "numbers": 7,
    "dates": 14,
    "times": 8,
    "money": 4,
    "phone": 4,
    "commands": 30,
    "general": 7,
}


def read_sentences(folder):
    """plain sentences of 2 to 14 words, without digits or foreign letters"""
    out = []
    for path in sorted(Path(folder).glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            line = line.replace("_", "").replace("--", ", ").strip()
            if (
                2 <= len(line.split()) <= 14
                and re.fullmatch(r"[A-Za-z',.;:?! -]+", line)
                and not re.search(r"\b[A-Z]\b|[A-Z]{2}|\w-|\b(Mr|Mrs|Dr|St)\b", line)
            ):
                out.append(re.sub(r"[;:!]", ",", line).lower().replace(" i ", " I "))
    return out


def transcript(say):
    return re.sub(r"[^a-z' ]", "", say.lower()).split()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("sentences", help="folder of *.txt with plain sentences for the group `general`")
    a.add_argument("out", help="the .jsonl to write")
    a.add_argument("--count", type=int, default=40000)
    a.add_argument("--seed", type=int, default=1)
    a = a.parse_args()
    writer = Writer(random.Random(a.seed), read_sentences(a.sentences))
    groups = random.Random(a.seed + 1).choices(list(SHARES), SHARES.values(), k=a.count)
    with open(a.out, "w", encoding="utf-8") as f:
        for group in groups:
            f.write(json.dumps({"group": group, "say": getattr(writer, group)()}) + "\n")
    print(a.count, "texts,", len(writer.sentences), "general sentences to choose from")


if __name__ == "__main__":
    main()
