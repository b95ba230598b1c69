"""Draws the 500 known and 500 unknown test words into held_out.json. Run once, before any training.

The thirty phrasings in that file are written by hand; this script leaves them as they are.
"""

import json
import random
import re
from pathlib import Path

import wordnet

HERE = Path(__file__).parent


def main():
    path = HERE / "held_out.json"
    held_out = json.loads(path.read_text())
    lexicon = wordnet.Lexicon()
    known = lexicon.headwords()
    texts = list(known.values()) + [p.read_text() for p in sorted(HERE.glob("*.txt"))]
    texts += [p["phrasing"] for p in held_out["phrasings"]]
    used = set(re.findall("[a-z]+", " ".join(texts).lower()))
    outside = [w for w in lexicon.words() if 4 <= len(w) <= 14 and w not in known and w not in used]

    rng = random.Random(2026)
    held_out["known"] = sorted(rng.sample(sorted(known), 500))
    held_out["unknown"] = sorted(rng.sample(outside, 500))
    path.write_text(json.dumps(held_out, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
