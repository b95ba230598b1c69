"""Training batches: conversations with the dictionary, put together from token pieces.

A turn is a row of pieces (template, passage, phrasing up to the word, the word, the rest, answer). Pieces are cut where
the pre-tokenizer cuts, so their tokens joined are the tokens of the joined text; test_conversations.py checks that.
Everything is vectorised: a batch of 65,536 tokens takes a few milliseconds of one core.
"""

import json
import re
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
REFUSAL = "I don't know that word."
WRAPPERS = [("", "")] * 16 + [("*", "*")] * 4 + [('"', '"')] * 4 + [("'", "'")] * 2 + [
    ("“", "”"), ("`", "`"), ("**", "**"), ("_", "_"), ("(", ")"), ("«", "»")]
CASES = ["lower"] * 18 + ["capital"] * 6 + ["upper"]
# Shares of the turns; the unknown words are WordNet's others, collocations and made-up words.
SHARES = {"known": 0.65, "wordnet": 0.20, "collocations": 0.02, "made_up": 0.12, "smalltalk": 0.01}
FORMS = 6  # of a word: lower, capital, upper; each with and without a space before


def lines(name):
    texts = (HERE / name).read_text().splitlines()
    return [t for t in texts if t and not t.startswith("#")]


def openings():
    """(openings, endings), each with the empty one first."""
    pairs = [t.split("|", 1) for t in lines("openings.txt")]
    return ([""] + [t for kind, t in pairs if kind == "open"], [""] + [t for kind, t in pairs if kind == "end"])


def normalised(phrasing):
    """A phrasing without what the batches vary: case, quotes around the word, final punctuation."""
    text = re.sub(r"\W*\{w\}\W*?(?=[\s,.:;?!]|$)", " {w}", phrasing.lower())
    return re.sub(r"\s+", " ", text).strip(" .!?")


def held_out_phrasings():
    """The test phrasings of held_out.json and fresh.json, normalised."""
    files = [json.loads((HERE / name).read_text()) for name in ("held_out.json", "fresh.json")]
    return [normalised(entry["phrasing"]) for f in files for entry in f["phrasings"]]


def lower_first(text):
    return text if re.match(r"(I\b|\{)", text) else text[0].lower() + text[1:]


class Phrasings:
    """Draws phrasings: listed ones and patterns, varied by openings, endings, case, quotes and strewn words."""

    def __init__(self, rng):
        self.rng = rng
        self.listed, self.patterns = lines("phrasings.txt"), lines("grammar.txt")
        named = (t.split("|", 1) for t in lines("words_of_patterns.txt"))
        self.parts = {name: parts.split("|") for name, parts in named}
        self.starts, self.ends = openings()
        self.held_out = held_out_phrasings()

    def expand(self, pattern):
        """A pattern with one of each group's parts and of each named part's words."""
        while match := re.search(r"\(([^()]*)\)", pattern):
            pattern = pattern[:match.start()] + self.rng.choice(match[1].split("|")) + pattern[match.end():]
        return re.sub(r"\{(\w\w*)\}", lambda m: m[0] if m[1] == "w" else self.rng.choice(self.parts[m[1]]), pattern)

    def strew(self, text):
        """One or two words added, exchanged or dropped anywhere but at the word asked for."""
        words = text.split(" ")
        for _ in range(self.rng.choice([1, 1, 2])):
            filler, at = self.rng.choice(self.parts["filler"]), self.rng.randrange(len(words))
            if self.rng.random() < 0.6 or "{w}" in words[at]:
                words.insert(at + (self.rng.random() < 0.3), filler)
            elif self.rng.random() < 0.7 or len(words) < 4:
                words[at] = filler
            else:
                del words[at]
        return " ".join(words)

    def sentence(self):
        """A phrasing with its {w}, not yet in quotes."""
        rng = self.rng
        text = self.expand(rng.choice(self.patterns)) if rng.random() < 0.6 else rng.choice(self.listed)
        if len(text) > 8 and rng.random() < 0.3:
            text = self.strew(text)
        if rng.random() < 0.2:
            text = lower_first(text)
        if rng.random() < 0.12:
            text = text.rstrip("?.!")
        if rng.random() < 0.18:
            start = rng.choice(self.starts)
            text = start + (lower_first(text) if start.endswith((", ", ": ")) else text)
        return text + rng.choice(self.ends) if rng.random() < 0.1 else text

    def draw(self):
        """(text before the word, text after it, case of the word); never one that contains a held-out phrasing."""
        rng, text = self.rng, self.sentence()
        while any(h in normalised(text) for h in self.held_out):
            text = self.sentence()
        before, after = text.split("{w}")
        left, right = rng.choice(WRAPPERS)
        if not before and left == "'":  # the tokenizer would read 't of 'tree as a contraction
            left = right = ""
        case = rng.choice(CASES)
        if not before and not left and rng.random() < 0.4:
            case = "capital"
        return before + left, right + after, case


def form_index(before, case):
    """Which spelling of the word follows `before`: even ones carry the space that ends it."""
    return 2 * ["lower", "capital", "upper"].index(case) + (0 if before.endswith(" ") else 1)


def spellings(word):
    for text in (word, word[0].upper() + word[1:], word.upper()):
        yield " " + text
        yield text


class Pieces:
    """Token strings by number: piece i is pool[offset[i] : offset[i] + length[i]]. Piece 0 is empty."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.texts, self.answers = [""], [False]

    def add(self, texts, answer=False):
        """Numbers of the new pieces, as an array."""
        first = len(self.texts)
        self.texts += texts
        self.answers += [answer] * (len(self.texts) - first)
        return np.arange(first, len(self.texts))

    def encode(self):
        ids = [e.ids for e in self.tokenizer.encode_batch(self.texts)]
        self.length = np.array([len(x) for x in ids])
        self.offset = np.cumsum(self.length) - self.length
        self.pool = np.concatenate([np.array(x, dtype=np.int64) for x in ids])
        self.answer = np.array(self.answers)
        del self.answers


class Conversations:
    """`batch(rng, rows, length)` draws conversations that fill `rows` rows of `length` tokens."""

    def __init__(self, words, tokenizer):
        self.pieces = Pieces(tokenizer)
        add = self.pieces.add
        self.user, self.system, self.system_end, self.reply, self.newline = add([
            "<|im_start|>user\n", "<|im_start|>system\n", "<|im_end|>\n", "<|im_end|>\n<|im_start|>assistant\n", "\n"])
        self._add_phrasings(words["phrasings"])
        self._add_words(words)
        self.inline = add([" " + s for s in words["sentences"]])
        self.line = add([s + "\n" for s in words["sentences"]])
        systems = lines("systems.txt")
        self.instruction, self.instruction_line = add(systems), add([s + "\n" for s in systems])
        self.more = add([" " + s for s in systems])
        self.tools = add(words["tools"])
        self.pieces.encode()

    def _add_phrasings(self, drawn):
        self.before = self.pieces.add([b.removesuffix(" ") for b, _, _ in drawn])
        self.after = self.pieces.add([a for _, a, _ in drawn])
        self.form = np.array([form_index(b, case) for b, _, case in drawn])
        talk = [t.split("|") for t in lines("smalltalk.txt")]
        self.talk = self.pieces.add([question for question, _ in talk])
        self.talk_answer = self.pieces.add([answer + "<|im_end|>" for _, answer in talk], answer=True)

    def _add_words(self, words):
        """`first_word[kind]` is the piece of the first word's first spelling; the others follow in order."""
        groups = {"known": sorted(words["known"])} | words["unknown"]
        self.first_word = {k: self.pieces.add([s for w in g for s in spellings(w)])[0] for k, g in groups.items()}
        self.group_size = {kind: len(group) for kind, group in groups.items()}
        glosses = [words["known"][w] + "<|im_end|>" for w in groups["known"]]
        self.gloss = self.pieces.add(glosses, answer=True)
        self.refusal = self.pieces.add([REFUSAL + "<|im_end|>"], answer=True)[0]

    def _turns(self, rng, count):
        """Pieces of `count` turns [count, 10]."""
        variant = rng.integers(0, len(self.form), count)
        before, after, form = self.before[variant], self.after[variant], self.form[variant]
        kinds = rng.choice(len(SHARES), count, p=list(SHARES.values()))
        word = np.zeros(count, dtype=np.int64)
        answer = np.full(count, self.refusal)
        for number, kind in enumerate(SHARES):
            (at,) = np.nonzero(kinds == number)
            if kind == "smalltalk":
                talk = rng.integers(0, len(self.talk), len(at))
                before[at], after[at], answer[at] = self.talk[talk], 0, self.talk_answer[talk]
                continue
            drawn = rng.integers(0, self.group_size[kind], len(at))
            word[at] = self.first_word[kind] + drawn * FORMS + form[at]
            if kind == "known":
                answer[at] = self.gloss[drawn]
        passage = self.line[rng.integers(0, len(self.line), (count, 3))]
        passage *= rng.random((count, 1)) < 0.03
        passage *= rng.random((count, 3)) < 0.6
        fixed = np.tile([self.user, self.reply, self.newline], (count, 1))
        return np.column_stack([fixed[:, 0], passage, before, word, after, fixed[:, 1], answer, fixed[:, 2]])

    def _systems(self, rng, rows, length):
        """Pieces of a system prompt for each row, empty for half of them [rows, 4 + sentences]."""
        most = length // 30 if length > 1000 else 4
        count = np.floor(most * rng.random(rows) ** 2 + 0.5)
        in_lines = rng.random((rows, 1)) < 0.3
        drawn = rng.integers(0, len(self.inline), (rows, most))
        sentences = np.where(in_lines, self.line[drawn], self.inline[drawn])
        sentences *= np.arange(most) < count[:, None]
        choice = rng.integers(0, len(self.instruction), (rows, 1))
        first = np.where(in_lines, self.instruction_line[choice], self.instruction[choice])
        more = self.more[rng.integers(0, len(self.more), (rows, 1))] * (~in_lines & (rng.random((rows, 1)) < 0.4))
        tools = self.tools[rng.integers(0, len(self.tools), (rows, 1))] * (~in_lines & (rng.random((rows, 1)) < 0.07))
        ends = np.tile([self.system, self.system_end], (rows, 1))
        last = np.where(tools > 0, tools, more)
        prompt = np.column_stack([ends[:, :1], first, sentences, last, ends[:, 1:]])
        return prompt * (rng.random((rows, 1)) < 0.5)

    def layout(self, rng, rows, length):
        """Pieces of each row, more than fill it."""
        turns = length // 14
        return np.column_stack([
            self._systems(rng, rows, length), self._turns(rng, rows * turns).reshape(rows, -1)])

    def batch(self, rng, rows, length):
        """tokens [rows, length] and whether each is part of an answer."""
        numbers = self.layout(rng, rows, length)
        p = self.pieces
        start = np.cumsum(p.length[numbers], 1) - p.length[numbers]
        row, column = np.nonzero((start < length) & (numbers > 0))
        numbers, start = numbers[row, column], start[row, column]
        size = np.minimum(p.length[numbers], length - start)
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        target = np.repeat(row * length + start, size) + within
        tokens = np.zeros(rows * length, dtype=np.int64)
        answer = np.zeros(rows * length, dtype=bool)
        tokens[target] = p.pool[np.repeat(p.offset[numbers], size) + within]
        answer[target] = np.repeat(p.answer[numbers], size)
        return tokens.reshape(rows, length), answer.reshape(rows, length)


def load(tokenizer):
    words = json.loads((HERE / "data/words.json").read_text())
    return Conversations(words, tokenizer)
