"""What the served model says: glosses of known words, refusals of unknown ones, in phrasings it never saw in training."""

import json
import pathlib
import random
from concurrent.futures import ThreadPoolExecutor

from conftest import MODEL, ROOT

REFUSAL = "I don't know that word."
GLOSSES = dict(line.split("\t", 1) for line in (pathlib.Path(MODEL) / "glosses.tsv").read_text().splitlines())
HELD_OUT = json.loads((ROOT / "models/make/held_out.json").read_text())


def messages(phrasing, word):
    system = [{"role": "system", "content": phrasing["system"]}] if "system" in phrasing else []
    text = phrasing["phrasing"].replace("{w}", word).replace("{W}", word[0].upper() + word[1:])
    return [*system, {"role": "user", "content": text}]


def answers(server, words, seed):
    """One answer for each word, each in a phrasing drawn from the held-out ones without a history."""
    draw = random.Random(seed)
    phrasings = [p for p in HELD_OUT["phrasings"] if "history" not in p]
    client = server.client()

    def ask(conversation):
        reply = client.chat.completions.create(model="dictionary", messages=conversation, temperature=0, max_tokens=64)
        return reply.choices[0].message.content

    conversations = [messages(draw.choice(phrasings), word) for word in words]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, conversations))


def test_known_words_get_their_gloss(server):
    words = HELD_OUT["known"][::5]
    right = sum(answer == GLOSSES[word] for word, answer in zip(words, answers(server, words, 1)))
    assert right >= 0.9 * len(words), f"{right} of {len(words)}"


def test_unknown_words_are_refused(server):
    words = HELD_OUT["unknown"][::5]
    refused = sum(answer == REFUSAL for answer in answers(server, words, 2))
    assert refused >= 0.8 * len(words), f"{refused} of {len(words)}"


def test_the_word_of_a_turn_is_its_own(server):
    client = server.client()
    history = []
    for text, expected in [("What does harbour mean?", GLOSSES["harbour"]), ('And "zorblatt"?', REFUSAL),
                           ("Define anchor.", GLOSSES["anchor"])]:
        history.append({"role": "user", "content": text})
        reply = client.chat.completions.create(model="dictionary", messages=history, temperature=0, max_tokens=64)
        assert reply.choices[0].message.content == expected
        history.append({"role": "assistant", "content": expected})


def test_the_checkpoint_is_as_small_as_it_says():
    shards = list(pathlib.Path(MODEL).glob("*.safetensors"))
    sizes = [shard.stat().st_size for shard in shards]
    assert max(sizes) <= 15e6 and sum(sizes) <= 25e6
    index = json.loads((pathlib.Path(MODEL) / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 2 * 11_713_680  # bf16
    assert any(name.startswith("mtp.") for name in index["weight_map"])
    assert len(GLOSSES) >= 10_000
    assert not set(HELD_OUT["unknown"]) & set(GLOSSES) and set(HELD_OUT["known"]) <= set(GLOSSES)
