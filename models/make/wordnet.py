"""Reads WordNet 3.0 as Debian's package wordnet-base installs it: words, senses, counts, glosses, examples."""

import collections
import re
from pathlib import Path

ROOT = Path("/usr/share/wordnet")
PARTS = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}
GLOSS_CHARS_MAX = 88
HEADWORDS = 12000
# Greetings are small talk here, not headwords; the other two would make a gloss that nobody wants to be shown.
LEFT_OUT = {"hello", "hi", "thanks", "goodbye", "bye"}
RUDE = re.compile(r"offensive|obscen|slur|derogat|disparag|vulgar|sexual|ethnic|prostitut|genital|rape|slang|nigger")


def short_gloss(text):
    """The first definition of a data file's gloss, without its parentheses."""
    definition = re.sub(r"\([^)]*\)", "", text.split(";")[0])
    return re.sub(r"\s+", " ", definition).strip(" :,")


def examples(text):
    """The quoted example sentences of a data file's gloss."""
    return re.findall(r'; "([^"]+)"', text)


class Lexicon:
    """`synsets` maps (part, offset) to the whole gloss, `senses` a lemma to its [(part, number, offset)]."""

    def __init__(self):
        self.synsets = {}
        self.senses = collections.defaultdict(list)
        for part in PARTS:
            self._read_data(part)
            self._read_index(part)
        self.counts = self._read_counts()

    def _read_data(self, part):
        for line in (ROOT / f"data.{part}").read_text().splitlines():
            if not line.startswith("  "):
                head, gloss = line.split(" | ", 1)
                self.synsets[part, head.split()[0]] = gloss.strip()

    def _read_index(self, part):
        for line in (ROOT / f"index.{part}").read_text().splitlines():
            if not line.startswith("  "):
                fields = line.split()
                offsets = fields[-int(fields[2]):]
                self.senses[fields[0]] += [(part, n + 1, offset) for n, offset in enumerate(offsets)]

    def _read_counts(self):
        """(lemma, part, sense number) -> how often the sense was met in WordNet's tagged texts."""
        counts = {}
        names = {1: "noun", 2: "verb", 3: "adj", 4: "adv", 5: "adj"}
        for line in (ROOT / "cntlist.rev").read_text().splitlines():
            key, number, count = line.split()[:3]
            lemma, rest = key.split("%")
            counts[lemma, names[int(rest[0])], int(number)] = int(count)
        return counts

    def words(self):
        """Every single-word lemma of three or more letters."""
        return [w for w in sorted(self.senses) if re.fullmatch("[a-z]{3,}", w) and not RUDE.search(w)]

    def collocations(self):
        """Every two-word lemma, with a space between."""
        return [w.replace("_", " ") for w in sorted(self.senses) if re.fullmatch("[a-z]{3,}_[a-z]{3,}", w)]

    def gloss_of(self, word):
        """The gloss of the commonest sense that is short enough, or None."""
        ordered = sorted(
            self.senses[word],
            key=lambda s: (-self.counts.get((word, s[0], s[1]), 0), s[1], PARTS[s[0]]),
        )
        for part, _, offset in ordered:
            gloss = short_gloss(self.synsets[part, offset])
            plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 ,'\-]+", gloss)
            if plain and 6 <= len(gloss) <= GLOSS_CHARS_MAX and gloss != word and not RUDE.search(gloss):
                return gloss
        return None

    def headwords(self):
        """word -> gloss for the commonest words: its own count first, then that of its synonyms."""
        own, synset = collections.Counter(), collections.Counter()
        for (lemma, part, number), count in self.counts.items():
            own[lemma] += count
            offsets = [s[2] for s in self.senses.get(lemma, []) if s[:2] == (part, number)]
            for offset in offsets:
                synset[part, offset] += count

        def score(word):
            return own[word] + sum(synset[s[0], s[2]] for s in self.senses[word]) / 4

        glosses = {w: self.gloss_of(w) for w in self.words() if w not in LEFT_OUT}
        ranked = sorted((w for w in glosses if glosses[w]), key=lambda w: (-score(w), w))
        return {w: glosses[w] for w in sorted(ranked[:HEADWORDS])}
