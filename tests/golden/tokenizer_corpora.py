"""Seeded texts on which our tokenizer is compared with Hugging Face `tokenizers`."""
import pathlib
import unicodedata

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

# Ten surroundings that make every alternative of the pre-tokenizer's pattern meet every scalar.
SCALAR_CONTEXTS = {
    "alone": lambda c: c,
    "after a letter": lambda c: "a" + c,
    "before a letter": lambda c: c + "b",
    "between letters": lambda c: "e" + c + "\u0301x",
    "after a space": lambda c: " " + c,
    "between spaces": lambda c: "  " + c + "  ",
    "before a newline": lambda c: "!" + c + "\n\n",
    "after a newline": lambda c: "\r\n" + c + " a",
    "between digits": lambda c: "1" + c + "2",
    "in a contraction": lambda c: "it'" + c + "e",
    "twice before a mark": lambda c: c + c + "\u0327\u0301",
}

ENGLISH = pathlib.Path(__file__).resolve().parents[2] / "LICENSE"

CHINESE = """
从前有一座山，山里有一座庙，庙里住着一位老和尚和一个小和尚。老和尚每天早晨敲钟，小和尚负责挑水、扫地、点灯。
一天夜里下起了大雨，小和尚听见门外有人敲门，便举着灯笼去看：“请问您是谁？”门外的人说：“我是过路的商人，
想借宿一晚。”第二天雨停了，商人留下三十两银子，可是老和尚说：“出家人不收钱，您留着路上用吧！”
2026年11月23日，气温−3.5℃，湿度60%。电话：（010）8888-6666；网址：https://例子.测试/路径?查询=值#片段
机器学习模型把文字切分成记号，每个记号对应一个编号。繁體字、日本語（ひらがな・カタカナ）、한국어도 있습니다.
"""

CODE = r'''
#include <vector>
template <class T, int N = 16>
auto Sum(const std::vector<T>& v) -> T {   // O(n)
	T total{};
	for (size_t i = 0; i < v.size(); ++i) { total += v[i] * 0x1Fu; }
	return total != T(-1) ? total >> 2 : ~total;
}

def fibonacci(n: int) -> list[int]:
    """The first n numbers; it's O(n)."""
    a, b, out = 0, 1, []
    while len(out) < n:
        out.append(a); a, b = b, a + b   # don't recurse
    return out


SELECT u.name, COUNT(*) FROM users AS u LEFT JOIN orders o ON o.user_id=u.id WHERE o.total >= 99.95 GROUP BY 1;
{"key": [1, 2.5e-10, null, true], "nested": {"a\tb": "\u00e9\n"}}
<div class="x-y_z" onclick='go("/a/b?c=d&e=f")'>&nbsp;text&lt;/div>
$ curl -sS -H 'Accept: */*' "http://127.0.0.1:8000/v1/models" | jq '.data[0].id'
if (!(a&&b)||c^d) x<<=3; /* ***** ===== ----- ##### */
'''

MIXED = """
Don't we'll I'VE they'Re IT'S 'tis o'clock rock'n'roll you'd 'LL 'ſ  l'ſ. naïve café coöperate Ångström ﬁne ﬃ
Ελληνικά: Το γρήγορο αλεπού. Русский: съешь ещё этих мягких булок. العربية: السلام عليكم. עברית: שָׁלוֹם
हिन्दी: नमस्ते दुनिया। தமிழ்: வணக்கம். ไทย: สวัสดีชาวโลก. Tiếng Việt: Thế giới. 👩‍👩‍👧‍👦 🇫🇷 ✈️ 1️⃣ e\u0301 A\u030a \u212b
\u00a0\u2003x\u2028y\u2029z\u0085 \u200b\ufeff\u180e ½ Ⅷ ² ٣ 三 12345 1,234.56 -0.5e+3 \x00\x01\x7f
"""


def texts():
    """By name: whole texts and their lines, as they are and in NFD."""
    prose = ENGLISH.read_text()
    out = {}
    for name, text in {"English": prose, "Chinese": CHINESE, "code": CODE, "mixed": MIXED}.items():
        decomposed = unicodedata.normalize("NFD", text)
        out[name] = [text, decomposed, text * 3] + text.splitlines(keepends=True) + decomposed.split("\n")
    return out


def scalar(rng):
    """Likelier from the scripts people write; every plane comes."""
    kind = rng.random()
    if kind < 0.35:
        return chr(rng.randrange(0x20, 0x7F))
    if kind < 0.45:
        return rng.choice(" \t\n\r\u00a0\u3000'")
    if kind < 0.70:
        return chr(rng.randrange(0xA0, 0x2000))
    if kind < 0.85:
        return chr(rng.choice([rng.randrange(0x2000, 0xD800), rng.randrange(0x4E00, 0x9FFF)]))
    return chr(rng.choice(SCALARS))


def random_strings(rng, n):
    return ["".join(scalar(rng) for _ in range(rng.randrange(1, 80))) for _ in range(n)]


def space_strings(rng, n):
    alphabet = [" ", " ", " ", "\n", "\r", "\t", "\u00a0", "\u0085", "\u2028", "a", "B", "7", ".", "'", "s", "é", "好", "\u0301"]
    return ["".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 24))) for _ in range(n)]


def combining_strings(rng, n):
    marks = [chr(c) for c in SCALARS if unicodedata.combining(chr(c))]
    decomposable = [chr(c) for c in SCALARS
                    if unicodedata.normalize("NFD", chr(c)) != chr(c) or unicodedata.combining(chr(c))]
    jamo = [chr(c) for c in range(0x1100, 0x1200)] + [chr(c) for c in range(0xAC00, 0xAC40)]
    bases = "aeiouAEIOUcnsz<>=\u05d0\u0915\u0b47\u1025\U00011935\U00011131\u3046"

    def part():
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(bases)
        if kind < 0.7:
            return rng.choice(marks)
        if kind < 0.85:
            return rng.choice(decomposable)
        return rng.choice(jamo)
    return ["".join(part() for _ in range(rng.randrange(1, 16))) for _ in range(n)]


def invalid_utf8(rng):
    cases = [b"\xff", b"a\x80b", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98",
             b"\xe6\x97", b"x\xf0\x9f\x98y", b"\xf0\x9f\x98\x80\xf0\x9f", b"\xc3", b"\xc3\xc3\xa9", b"\xe4\xbd\xe4\xbd\xa0",
             b"\xf8\x88\x80\x80\x80", b"<|im_end|\xff>", b"\xf1\x80\x80\xe1\x80\xc2b"]
    alphabet = [b"a", b" ", b"\n", b"\x80", b"\xbf", b"\xc2", b"\xe0", b"\xe6\x97\xa5", b"\xed", b"\xf0", b"\x9f", b"\xf4", b"\xff", b"\xa0"]
    return cases + [b"".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 12))) for _ in range(5000)]


def random_ids(rng, n, vocab_size):
    return [[rng.randrange(vocab_size + 300) if rng.random() < 0.6 else rng.randrange(256)
             for _ in range(rng.randrange(1, 40))] for _ in range(n)]


# --- texts that tests/support/seeded_texts.cc makes too, number by number ---

RANDOM_RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0x09, 0x0D), (0xA0, 0x24F), (0x2B0, 0x52F), (0x590, 0x6FF),
                 (0x900, 0xDFF), (0x1E00, 0x206F), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFFEF),
                 (0x10000, 0x1FFFF), (0x0, 0x10FFFF)]
SPACE_RANGES = [(0x20, 0x20), (0x20, 0x20), (0x20, 0x20), (0x09, 0x0D), (0x0A, 0x0A), (0x85, 0x85), (0xA0, 0xA0),
                (0x2000, 0x200B), (0x2028, 0x2029), (0x61, 0x63), (0x31, 0x32), (0x27, 0x27), (0x2E, 0x2E), (0x73, 0x74),
                (0x17F, 0x17F), (0xE9, 0xE9), (0x301, 0x301)]
COMBINING_RANGES = [(0x41, 0x7A), (0x300, 0x36F), (0x300, 0x36F), (0xC0, 0x1EF), (0x591, 0x5F4), (0x610, 0x65F),
                    (0x8D0, 0x8FF), (0x93C, 0x95F), (0x9BC, 0x9DF), (0xBBE, 0xBD7), (0xF71, 0xF84), (0x1025, 0x103A),
                    (0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2), (0xAC00, 0xAC40), (0x1AB0, 0x1ACE), (0x1DC0, 0x1DFF),
                    (0x1E00, 0x1FFF), (0x20D0, 0x20F0), (0x3040, 0x309F), (0xFB1D, 0xFB4F), (0x11099, 0x110BA),
                    (0x11930, 0x11943), (0x1D15E, 0x1D172), (0x1D1BB, 0x1D1C0)]
FAMILIES = {"random": RANDOM_RANGES, "spaces": SPACE_RANGES, "combining": COMBINING_RANGES}


class SplitMix64:
    """Steele, Lea, Flood 2014."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return (z ^ z >> 31) % n


def family_string(rng, ranges):
    scalars = []
    for _ in range(1 + rng.below(40)):
        first, last = ranges[rng.below(len(ranges))]
        c = first + rng.below(last - first + 1)
        scalars.append(0xFFFD if 0xD800 <= c < 0xE000 else c)
    return "".join(map(chr, scalars))
