"""How people say what a dictionary spells: phonemes of phonemise.py said in haste, in another dialect, or with the
sounds of another first language. Every word keeps a sound, so word marks stay those of the text."""

from synthesize import PHONEME_PUNCTUATION

MARKS = set("ˈˌː")
VOWELS = set("AIOQWYaeiouæɑɐɒɔəɚɛɜɪʊʌᵊᵻɨ")
WEAK = {  # words that are hardly said
    "ænd": ("ənd", "ən", "n"),
    "tu": ("tə", "tʊ"),
    "fɔɹ": ("fəɹ", "fə"),
    "hɪz": ("ɪz",),
    "hɪm": ("ɪm",),
    "hɜɹ": ("ɜɹ", "həɹ"),
    "hæv": ("həv", "əv"),
    "hæd": ("həd", "əd"),
    "ʌv": ("əv", "ə"),
    "æt": ("ət",),
    "kæn": ("kən",),
    "wʌz": ("wəz",),
    "ðæt": ("ðət",),
    "ðɛm": ("ðəm", "əm"),
    "bʌt": ("bət",),
    "jʊ": ("jə",),
    "ju": ("jə",),
    "jɔɹ": ("jəɹ",),
    "ɑɹ": ("əɹ",),
}
# (sounds, what they become): of dialects, and of learners
DIALECT = [
    ("ɑ", "ɔ"), ("ɔ", "ɑ"), ("ʌ", "ə"), ("æ", "a"), ("æ", "ɛ"), ("ɛ", "ɪ"), ("ɪ", "ə"), ("ə", "ɪ"), ("T", "t"),
    ("ɾ", "t"), ("t", "ʔ"), ("O", "ɔ"), ("A", "ɛ"), ("I", "a"), ("u", "ʊ"), ("i", "ɪ"), ("θ", "f"), ("ŋ", "n"),
]  # fmt: skip
LEARNER = [
    ("θ", "s"), ("θ", "t"), ("ð", "d"), ("ð", "z"), ("v", "w"), ("w", "v"), ("v", "f"), ("v", "b"), ("z", "s"),
    ("ɹ", "l"), ("l", "ɹ"), ("ɹ", "r"), ("ɪ", "i"), ("i", "ɪ"), ("ʊ", "u"), ("æ", "ɛ"), ("æ", "a"), ("ʌ", "a"),
    ("ə", "a"), ("ə", "ɛ"), ("ɛ", "e"), ("ɔ", "o"), ("O", "o"), ("A", "e"), ("n", "ŋ"), ("ŋ", "n"), ("ʤ", "ʧ"),
    ("ʒ", "ʃ"), ("ʃ", "s"), ("ʧ", "ʃ"), ("T", "t"), ("ɾ", "t"), ("h", "x"), ("n", "l"), ("l", "n"),
]  # fmt: skip
DEVOICED = {"b": "p", "d": "t", "ɡ": "k", "z": "s", "v": "f", "ʤ": "ʧ"}


def chosen(rules, share, r):
    """{sound: what it becomes} of some of the rules"""
    return {a: b for a, b in rules if r.random() < share}


def alternatives(learner):
    """{sound: what it may have become} of a learner, or of somebody else"""
    found = {}
    for a, b in [*LEARNER, *DEVOICED.items()] if learner else DIALECT:
        found.setdefault(a, set()).add(b)
    return found


def of_word(word, changed, learner, haste, r):
    """one word without marks around it"""
    sounds = list(word)
    for i, c in enumerate(sounds):
        if c in changed and r.random() < 0.7:
            sounds[i] = changed[c]
    bare = [i for i, c in enumerate(sounds) if c not in MARKS]
    end = bare[-1]
    consonant = sounds[end] not in VOWELS
    if learner and consonant and len(bare) > 1:
        u = r.random()
        if u < learner["dropped"]:
            sounds[end] = ""
        elif u < learner["dropped"] + learner["vowel"]:
            sounds[end] += "ə"
        elif u < learner["dropped"] + learner["vowel"] + learner["devoiced"]:
            sounds[end] = DEVOICED.get(sounds[end], sounds[end])
    elif len(bare) > 2 and sounds[end] in "td" and sounds[bare[-2]] not in VOWELS and r.random() < haste:
        sounds[end] = ""
    if haste and "ˈ" in sounds:
        for i, c in enumerate(sounds):  # vowels without stress
            weak = c in list("ɪɛæʌɑɔʊ") and (i == 0 or sounds[i - 1] not in MARKS)
            if weak and r.random() < 0.4 * haste:
                sounds[i] = "ə"
    return "".join(sounds)


def pronounced(phonemes, r):
    """another way to say it; r: NumPy's generator"""
    u = r.random()
    if u < 0.3:
        return phonemes
    learner = (
        {"dropped": r.uniform(0, 0.3), "vowel": r.uniform(0, 0.2), "devoiced": r.uniform(0, 0.8)} if u > 0.6 else None
    )
    halting = r.uniform(0, 0.35) if learner and r.random() < 0.5 else 0  # share of words with a pause after them
    changed = chosen(LEARNER, 0.3, r) if learner else chosen(DIALECT, 0.12, r)
    haste = 0 if learner else r.uniform(0, 0.9)
    flat = "ˌ" if r.random() < (0.35 if learner else 0.15) else None  # every stress alike
    words = []
    for word in phonemes.split(" "):
        inside = word.strip("".join(PHONEME_PUNCTUATION))
        if inside and set(inside) - MARKS:
            plain = "".join(c for c in inside if c not in MARKS)
            if plain in WEAK and "ˈ" not in inside and r.random() < haste:
                said = WEAK[plain][r.integers(len(WEAK[plain]))]
            else:
                said = of_word(inside, changed, learner, haste, r)
            if not set(said) - MARKS:
                said = inside
            word = word.replace(inside, said.replace("ˈ", flat) if flat else said)
            if word[-1] not in PHONEME_PUNCTUATION and r.random() < halting:
                word += ","
        words.append(word)
    return " ".join(words)
