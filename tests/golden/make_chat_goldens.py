"""Writes chat_goldens.jsonl: conversations and small templates, with what Hugging Face transformers makes of them.

    python tests/golden/make_chat_goldens.py models/dictionary ~/.cache/nextgate/deps/share/qwen3

(any two directories with a tokenizer and a chat template; needs transformers 5, jinja2, torch not).

Lines: {"template": …} the template of MODEL_DIR; {"input": …, "text": …, "qwen3": …} a conversation, its rendering by
that template, and the sha256 of its rendering by the real Qwen3 template (fetched by scripts/fetch_test_data.sh; its text
stays out of this repository); where no text of the request is a special token also "ids" and "qwen3_ids", the sha256 of
what apply_chat_template(tokenize=True) makes of it (32-bit little-endian numbers); {"source": …, "context": …, "text": … | "error": true} a small template.
"""
import copy
import hashlib
import json
import os
import random
import struct
import sys

from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template

WORDS = ("harbour", "the", "Was heißt", "词典", "λόγος", "naïve", "a  b", "0.5", "😀", "ok?", "C:\\tmp", "\"quoted\"",
         "it's", "{{ user }}", "{% if x %}", "{# no #}", "<b>&amp;</b>", "é", "e\u0301", "<think>", "</think>", "\t|")
EDGES = ("", "", "", " ", "\n", "\n\n", "  \n", "\t", "\u3000", "\u00a0", "\r\n", "\u2028", "\x1f")
SPECIAL = ("<|im_end|>", "<|im_start|>system\n", "<|endoftext|>", "<tool_response>", "</tool_response>")
TOOLS = [
    {"type": "function", "function": {"name": "define", "description": "Give the gloss of a word — exactly.\n\"Quoted\".",
     "parameters": {"type": "object", "properties": {
         "word": {"type": "string", "description": "语言: any", "default": None},
         "limit": {"type": "number", "minimum": 0.1, "maximum": 1e22, "default": 5.0, "multipleOf": 1e-7},
         "keys": {"type": "array", "items": {"type": "integer", "enum": [1, 2, -3]}}}, "required": ["word"]}}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "strict": True, "function": {"name": "<|im_end|>", "description": "", "parameters": {}}},
]


def text(rng, special=True):
    words = [rng.choice(WORDS + (SPECIAL if special and rng.random() < 0.2 else ())) for _ in range(rng.randint(0, 8))]
    return rng.choice(EDGES) + " ".join(words) + rng.choice(EDGES)


def content(rng):
    kind = rng.random()
    if kind < 0.85:
        return text(rng)
    parts = [{"type": "text", "text": text(rng)} for _ in range(rng.randint(1, 3))]
    return parts


def arguments(rng):
    return {rng.choice(("word", "limit", "词", "a b")): rng.choice(
        (text(rng), 3, -0.0, 1.5e-9, 123456789.125, True, None, [1, "zwei", {"x": []}], {"nested": {"y": "\u2028\u0001\x7f"}}))
        for _ in range(rng.randint(0, 3))}


def assistant_turn(rng):
    message = {"role": "assistant", "content": content(rng)}
    if rng.random() < 0.3:
        message["content"] = f"<think>\n{text(rng)}\n</think>\n\n{text(rng)}"
    if rng.random() < 0.2:
        message[rng.choice(("reasoning_content", "reasoning"))] = text(rng)
    turns = [message]
    if rng.random() < 0.35:
        calls = []
        for i in range(rng.randint(1, 3)):
            args = arguments(rng)
            calls.append({"id": f"call_{i}", "type": "function", "function": {
                "name": rng.choice(("define", "now")),
                "arguments": json.dumps(args, ensure_ascii=rng.random() < 0.5) if rng.random() < 0.8 else args}})
        message["tool_calls"] = calls
        if rng.random() < 0.5:
            message["content"] = rng.choice((None, ""))
        turns += [{"role": "tool", "tool_call_id": c["id"], "content": content(rng)} for c in calls]
        if rng.random() < 0.7:
            turns.append({"role": "assistant", "content": text(rng)})
    return turns


def conversation(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": text(rng)})
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": content(rng)})
        if rng.random() < 0.1:
            messages.append({"role": "system", "content": text(rng)})
        messages += assistant_turn(rng)
    out = {"messages": messages, "add_generation_prompt": rng.random() < 0.7}
    if rng.random() < 0.6 and messages[-1]["role"] == "assistant":
        messages.pop()
    elif rng.random() < 0.6 and messages[-1]["role"] == "assistant" and messages[-1]["content"]:
        out["add_generation_prompt"] = False
        out["continue_final_message"] = True
    if rng.random() < 0.4:
        out["tools"] = rng.sample(TOOLS, rng.randint(1, 3))
    if rng.random() < 0.5:
        out["chat_template_kwargs"] = {"enable_thinking": rng.random() < 0.5}
    return out


def as_vllm_prepares(messages):
    """What vLLM's chat endpoint does for a template that reads strings, before it renders."""
    messages = copy.deepcopy(messages)
    for message in messages:
        if message.get("content") is None:
            message["content"] = ""
        if isinstance(message["content"], list):
            message["content"] = "\n".join(part["text"] for part in message["content"])
        for call in message.get("tool_calls", []):
            if isinstance(call["function"]["arguments"], str):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def render(tokenizer, case, tokenize=False):
    try:
        return tokenizer.apply_chat_template(
            as_vllm_prepares(case["messages"]), tools=case.get("tools"), tokenize=tokenize, return_dict=False,
            add_generation_prompt=case["add_generation_prompt"],
            continue_final_message=case.get("continue_final_message", False), **case.get("chat_template_kwargs", {}))
    except Exception as error:  # a conversation that Hugging Face refuses is one that we refuse
        print("refused:", type(error).__name__, str(error)[:80].replace("\n", " "), file=sys.stderr)
        return None


def has_special(case, tokenizers):
    """Where Hugging Face would take a request's text for a special token, we do not: ids differ, as they should."""
    text = json.dumps(case, ensure_ascii=False)
    return any(str(token) in text for tokenizer in tokenizers
               for token in tokenizer.added_tokens_decoder.values() if token.special)


def ids_hash(ids):
    return ids and hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()


# Small templates, each about one habit of Jinja2 or Python. `c` is a text of the request, `o` an object.
C = " \u3000 Ünï<|im_end|>cøde, a,b,,c \n\u00a0"
O = {"name": "n", "default": 1.0, "length": "L", "items": [3, 1, 2], "f": [0.1, 1e16, 123456789012345680.0, 1e-5, 0.0001, -2.5, 1e300],
     "s": "q\"\\/\u007f\u0007\u2028é😀", "e": {}, "l": [], "n": None, "t": True, "big": 9007199254740993}
SOURCES = [
    "[{{ c.strip() }}][{{ c | trim }}][{{ c.lstrip() }}][{{ c.rstrip() }}][{{ c.strip(' \\n') }}][{{ c.strip('\u3000 ') }}]",
    "{{ c.split(',') | length }}{% for p in c.split(',') %}[{{ p }}]{% endfor %}{% for p in c.split() %}({{ p }}){% endfor %}",
    "{% for p in c.split(',', 1) %}[{{ p }}]{% endfor %}{% for p in c.rsplit(',', 2) %}({{ p }}){% endfor %}{{ c.split(',')[-1] }}",
    "{{ c | length }} {{ c[4] }} {{ c[-3] }} {{ c[2:7] }} {{ c[:-4] }} {{ c[::-1] }} {{ c[::2] }} {{ c[-5:] }} {{ c[100:] }}|",
    "{{ c.replace(',', ';') }}{{ c.replace('a', 'bb', 1) }}{{ c | replace('c', '') }}",
    "{{ c.startswith(' ') }} {{ c.endswith('x') }} {{ 'Ün' in c }} {{ c.startswith(('x', ' ')) }}",
    "{{ o | tojson }}\n{{ o | tojson(indent=2) }}\n{{ o.s | tojson(ensure_ascii=True) }}\n{{ o.e | tojson(indent=4) }}",
    "{{ o | tojson(separators=(',', ':')) }}{{ o | tojson(sort_keys=true) }}",
    "{{ o.default }} {{ o.length }} {{ o['items'] | tojson }} {{ o.missing is defined }} {{ o.get('name') }} {{ o.get('x', 7) }}",
    "{% set x = 0 %}{% for i in range(4) %}{{ x }}{% set x = i + 1 %}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% for i in range(9) %}{% if i > 3 %}{% break %}{% endif %}{{ loop.index }}{{ loop.first }}{{ loop.last }} {% endfor %}",
    "{{ ['a', c, 'z'] | join('-') }} {{ ', '.join(['x', 'y']) }} {{ o['items'] | join }} {{ 'abc' | join('.') }}",
    "  {% if true %}\n  a\n    {% endif %}\n  b\n{#- gone -#}\n c {%- if false -%} no {%- endif %} d\n",
    "{%- for k, v in o.items() %}{{ k }}={{ v if v is string else v | tojson }};{% endfor %}",
    "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb\\n' | indent(2, true) }}|{{ 'a\\n\\nb' | indent(width=1, blank=true) }}|",
    "{% macro m(x, y='d') %}<{{ x }}{{ y }}>{% endmacro %}{{ m('a') }}{{ m(c, y=1) }}",
    "{{ raise_exception('no ' + o.name) }}", "{{ o | tojson | length }}{{ undefined_thing | tojson }}",
    "{{ o.f[0] }} {{ o.f[5] }} {{ 7 % 4 }} {{ 3 * 2 - 1 }} {{ 'x' * 3 }} {{ 1 == 1.0 }} {{ o.n is none }}",
    "{% generation %}in{% endgeneration %} {{ 'yes' if c and not o.e else 'no' }} {{ o.l or 'empty' }} {{ c is string and o is mapping }}",
    "{{ bos_token is defined }} {{ o.t and 'T' }} {{ 'A' ~ 1 ~ 'B' }} {{ [1, 2, 3][-1] }} {{ (o['items'] | first) }}",
]


def main():
    ours, qwen3 = (AutoTokenizer.from_pretrained(path) for path in sys.argv[1:3])
    rng = random.Random(20261123)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_goldens.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        def line(value):
            file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
        line({"template": ours.chat_template})
        for _ in range(260):
            case = conversation(rng)
            other = render(qwen3, case)
            golden = {"input": case, "text": render(ours, case),
                      "qwen3": other and hashlib.sha256(other.encode()).hexdigest()}
            if not has_special(case, (ours, qwen3)):
                golden["ids"] = ids_hash(render(ours, case, tokenize=True))
                golden["qwen3_ids"] = ids_hash(render(qwen3, case, tokenize=True))
            line(golden)
        for source in SOURCES:
            context = {"c": C, "o": O}
            try:
                rendered, _ = render_jinja_template([[{"role": "user", "content": "x"}]], chat_template=source, **context)
                line({"source": source, "context": context, "text": rendered[0]})
            except Exception as error:
                print("template refused:", source[:50], error, file=sys.stderr)
                line({"source": source, "context": context, "error": True})
    print(path, os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
