"""Makes what training reads: data/words.json from WordNet, and the tokenizer from those texts.

    python make_data.py     # needs Debian's wordnet-base; writes data/, ../dictionary/glosses.tsv, tokenizer*.json
"""

import json
import random
import re
import string
from pathlib import Path

import jinja2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import conversations
import wordnet

HERE = Path(__file__).parent
MODEL = HERE.parent / "dictionary"
VOCAB = 4096
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<tool_response>",
         "</tool_response>", "<think>", "</think>"]
SPECIAL = ADDED[:3]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MISSPELT, SYLLABIC, COLLOCATIONS, SENTENCES, PHRASINGS = 50_000, 20_000, 10_000, 3_000, 120_000


def misspell(word, rng):
    """One letter replaced, dropped, added, or two neighbours exchanged."""
    at, kind = rng.randrange(len(word)), rng.randrange(4)
    letter = rng.choice(string.ascii_lowercase)
    if kind == 0:
        return word[:at] + letter + word[at + 1:]
    if kind == 1:
        return word[:at] + word[at + 1:]
    if kind == 2:
        return word[:at] + letter + word[at:]
    return word[:at] + word[at + 1:at + 2] + word[at:at + 1] + word[at + 2:]


def syllabic(rng):
    """A pronounceable string of two to four syllables."""
    onsets = "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl gl gr pl pr sh st str th tr qu".split()
    codas = ["", "", "", "n", "r", "l", "s", "t", "m", "nd", "st", "ck", "ng"]
    count = rng.choice([2, 2, 3, 3, 4])
    return "".join(rng.choice(onsets) + rng.choice("aeiou") + rng.choice(codas) for _ in range(count))


def made_up(known, taken, rng):
    """Strings that are no words: near misses of headwords, and syllables."""
    inflected = {w + end for w in known for end in ("s", "es", "d", "ed", "ing", "er", "ly")}
    headwords = sorted(known)
    drawn = set()
    while len(drawn) < MISSPELT + SYLLABIC:
        word = misspell(rng.choice(headwords), rng) if len(drawn) < MISSPELT else syllabic(rng)
        if len(word) >= 3 and word not in taken and word not in inflected:
            drawn.add(word)
    return sorted(drawn)


def asking_texts(rng):
    """Phrasings as training draws them, with "word" for the word."""
    phrasings = conversations.Phrasings(rng)
    return [phrasings.sentence().replace("{w}", "word") for _ in range(20000)]


def draw_phrasings(rng):
    """What training asks with: (before the word, after it, the word's case)."""
    phrasings = conversations.Phrasings(rng)
    return [phrasings.draw() for _ in range(PHRASINGS)]


def unknown_words(lexicon, known, held_out, rng):
    """What the model learns to refuse: WordNet's other words, some collocations, and made-up words."""
    other = [w for w in lexicon.words() if w not in known and w not in held_out and w not in wordnet.LEFT_OUT]
    asking = set(re.findall("[a-z]+", " ".join(asking_texts(rng)).lower()))
    collocations = [c for c in lexicon.collocations() if not (asking | held_out) & set(c.split())]
    collocations = rng.sample(collocations, COLLOCATIONS)
    taken = set(known) | held_out | set(lexicon.senses)
    return {"wordnet": other, "collocations": sorted(collocations), "made_up": made_up(known, taken, rng)}


def example_sentences(lexicon, held_out, rng):
    """Sentences for long system prompts and for passages, without the held-out unknown words."""
    found = set()
    for gloss in lexicon.synsets.values():
        for text in wordnet.examples(gloss):
            words = set(re.findall("[a-z]+", text.lower()))
            plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9 ,'\-]+", text)
            if plain and 25 <= len(text) <= 120 and not words & held_out and not wordnet.RUDE.search(text):
                found.add(text[0].upper() + text[1:] + ".")
    return rng.sample(sorted(found), SENTENCES)


def tool_sections(rng):
    """System prompts' ends as the chat template writes them when a request names tools: they must disturb nothing."""
    tools = json.loads((HERE / "tools.json").read_text())
    environment = jinja2.Environment()
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = environment.from_string((MODEL / "chat_template.jinja").read_text())
    for _ in range(100):
        chosen = rng.sample(tools, rng.randrange(1, 4))
        messages = [{"role": "system", "content": " " + rng.choice(conversations.lines("systems.txt"))}]
        text = template.render(messages=messages, tools=chosen)
        yield text.removeprefix("<|im_start|>system\n").removesuffix("<|im_end|>\n")


def tokenizer_texts(words, asking):
    """What the BPE is learnt from: glosses, words in the spellings in which they are asked, prompts."""
    known = words["known"]
    yield from known.values()
    for word in known:
        yield from (f"of {word}", f"of {word}", word, word.capitalize())
    yield from (f"of {w}" for w in words["unknown"]["wordnet"])
    yield from words["sentences"]
    yield from asking
    for name in ("systems.txt", "smalltalk.txt"):
        yield from conversations.lines(name) * 50
    yield from words["tools"]
    yield from ["system\nuser\nassistant\n" + conversations.REFUSAL] * 1000


def make_tokenizer(words, asking):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False),
    ])
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - len(ADDED), show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(tokenizer_texts(words, asking), trainer)
    for text in ADDED:
        token = AddedToken(text, normalized=False, special=text in SPECIAL)
        (tokenizer.add_special_tokens if text in SPECIAL else tokenizer.add_tokens)([token])
    return tokenizer


def tokenizer_config(tokenizer):
    decoder = {
        str(tokenizer.token_to_id(text)): {
            "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": text in SPECIAL}
        for text in ADDED}
    return {
        "add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder,
        "additional_special_tokens": SPECIAL[1:], "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 4096, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None}


def main():
    rng = random.Random(1)
    held_out = json.loads((HERE / "held_out.json").read_text())
    lexicon = wordnet.Lexicon()
    known = lexicon.headwords()
    held_out_unknown = set(held_out["unknown"])
    assert set(held_out["known"]) <= set(known) and not held_out_unknown & set(known)
    words = {
        "known": known,
        "unknown": unknown_words(lexicon, known, held_out_unknown, rng),
        "sentences": example_sentences(lexicon, held_out_unknown, rng),
        "tools": list(tool_sections(rng)),
        "phrasings": draw_phrasings(rng),
    }
    (HERE / "data").mkdir(exist_ok=True)
    (HERE / "data/words.json").write_text(json.dumps(words, indent=0, ensure_ascii=False))
    tokenizer = make_tokenizer(words, asking_texts(rng))
    MODEL.mkdir(exist_ok=True)
    tokenizer.save(str(MODEL / "tokenizer.json"))
    (MODEL / "glosses.tsv").write_text("".join(f"{w}\t{g}\n" for w, g in known.items()))
    config = json.dumps(tokenizer_config(tokenizer), indent=2, ensure_ascii=False)
    (MODEL / "tokenizer_config.json").write_text(config + "\n")
    counts = {name: len(part) for name, part in words["unknown"].items()}
    print(f"{len(known)} headwords, unknown {counts}, vocabulary {tokenizer.get_vocab_size()}")


if __name__ == "__main__":
    main()
