"""Seeded texts on which our sentence encoder is compared with sentence-transformers: English, Chinese, code, many
scripts, empty, over-long, odd Unicode."""
import random

import tokenizer_corpora as corpora

FIRST = """how do i reset my password; what is the capital of france; the parcel has not arrived yet; turn on dark mode;
turn off dark mode; cancel my order from 3 march 2024; transfer 250 euros to anna; why was my card declined abroad;
book a table for four at 7:30 pm; is the museum open on sundays; translate good morning into spanish"""
SECOND = """我怎么修改密码; 法国的首都是哪里; 包裹还没有到; 请打开夜间模式; 取消三月三日的订单; 给安娜转账250欧元; 今天天气怎么样;
ich habe mein passwort vergessen; où est la gare; где находится вокзал; 駅はどこですか; 역이 어디에 있나요; ΠΟΥ ΕΊΝΑΙ Ο ΣΤΑΘΜΌΣ"""
SPECIAL = ["[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[mask]", "a[SEP]b", " [CLS] ", "[[SEP]]", "##ing", "x", " "]
UNIGRAM_SPECIAL = ["<s>", "</s>", "<mask>", " <mask>", "\u3000<mask>", "<pad>", "<unk>", "<MASK>", "＜s＞", "＜ｍａｓｋ＞", "▁", "▁▁", "Capital",
                   "ＣＡＰＩＴＡＬ", "½", "﷽", "ﬁ", "e\u0301", "\u200d", "\u200b", "क\u094dष", "ᄀ\u1161", "©\u200d©", "  ", "\t", "a", "."]
UNIGRAM = ["<mask>", "a <mask> b", "a\u3000 <mask> <mask>b", "  <mask>  ", "<s>x</s> <pad> <pad>x", "＜s＞＜ｍａｓｋ＞", "½ ﷽ ﬁ…", "q\u0301e\u0301é",
           "▁▁ x ▁", "Capital ＣＡＰＩＴＡＬ capital", "क्षत्रिय हिन्दी", "한국어 ㄱㅏ", "a\u0600b \u0600 c", "x\r\n\u0301y", "😀🏽‍😀 🇫🇷🇩🇪",
           "   leading and  inner   spaces  ", "\u200bx\u200b", "1⁄2 ½½", "\u00a0", "do· ·re do·re"]


def texts(count=1000):
    """`count` texts, the first of which are the ones that are hardest to get right."""
    rng = random.Random(20261127)
    sentences = [s.strip() for s in (FIRST + ";" + SECOND).split(";")]
    out = ["", " ", "\n\t", "a", "Hello, World!", "?", "\x00", "\ufffd", "é", "e\u0301", "İstanbul", "ΣΑΣ", "ﬁne", "👩‍👩‍👧‍👦 🇫🇷",
           "x" * 100, "x" * 101, "word " * 254, "word " * 255, "word " * 5000, "好" * 300, "a\u0301" * 400, "!" * 600,
           "supercalifragilisticexpialidocious " * 60, "[CLS] and [SEP] are typed [MASK] here", "\u00a0\u2003x\u200by\ufeffz"]
    out += sentences + [s.upper() for s in sentences]
    for part in corpora.texts().values():
        out += part
    out += corpora.random_strings(rng, 150) + corpora.space_strings(rng, 50) + corpora.combining_strings(rng, 50)
    out += ["".join(rng.choice(SPECIAL) for _ in range(rng.randrange(1, 9))) for _ in range(50)]
    while len(out) < count:
        out.append(" ".join(rng.sample(sentences, rng.randrange(1, 9))) + rng.choice(["", "?", "!", "…", "。"]))
    return out[:count]
