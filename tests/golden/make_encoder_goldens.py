#!/usr/bin/env python3
"""Writes what sentence-transformers and `tokenizers` compute, for tests/engine/encoder.

    python3 tests/golden/make_encoder_goldens.py MINILM

MINILM is the directory that `scripts/models.sh minilm` filled. Into data/encoder/:
small/             a random BERT that differs from MiniLM in all that a directory may say (CLS pooling, no normalisation, a
                   prompt, another normaliser and post-processor, F16 weights one level deeper), with its golden.* beside it
minilm.*           goldens of the real model; minilm_scalars.txt: for each 1,024 scalars a sum for each of CONTEXTS
*.jsonl            texts ({"text"} or {"unit", "count"}) with the ids the encoder sees, then sums over the ids of seeded
                   random strings, 100 strings a sum (CRC-32 of [count, ids…], i32, without special tokens cut off)
*.safetensors      "embeddings" [texts, H], fp32, of the texts in their order
"""
import json
import pathlib
import sys

import encoder_corpora
import tokenizer_corpora as corpora
import torch
from make_tokenizer_goldens import SCALARS_PER_BLOCK, STRINGS_PER_SUM, crc
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

OUT = pathlib.Path(__file__).resolve().parent / "data" / "encoder"
TEXTS = 62
STRINGS = 1000  # of each family
CONTEXTS = ["alone", "between letters", "twice before a mark"]
SMALL = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, vocab_size=160,
             max_position_embeddings=48, type_vocab_size=1, layer_norm_eps=1e-6)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def small_tokenizer():
    words = "query the of is how do my pass ##word reset what capital france 我 国 的 好 é É ß [ ] : ? ! .".split()
    letters = [chr(c) for c in range(0x61, 0x7B)] + list("ABCDEFGHIJKLM0123456789")
    spellings = ["<pad>", "<unk>", "<s>", "</s>"] + words + letters + ["##" + s for s in letters]
    tokenizer = Tokenizer(models.WordPiece({s: i for i, s in enumerate(spellings)}, unk_token="<unk>",
                                           max_input_chars_per_word=20))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["<pad>", "<unk>", "<s>", "</s>", "<extra>"])
    tokenizer.post_processor = processors.BertProcessing(("</s>", 3), ("<s>", 2))
    assert tokenizer.get_vocab_size() <= SMALL["vocab_size"]
    return tokenizer


def make_small(directory):
    directory.mkdir(parents=True, exist_ok=True)
    small_tokenizer().save(str(directory / "tokenizer.json"))
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>",
                                                     "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>"})
    config = BertConfig(**SMALL)
    write_json(directory / "config.json", {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_act": "gelu",
                                           "pad_token_id": 0, "dtype": "float16", **SMALL})
    torch.manual_seed(6)
    model = BertModel(config, add_pooling_layer=False).eval()
    tensors = {}
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            shift = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            tensors["bert." + name] = (torch.randn_like(tensor) * 0.3 + shift).half().contiguous()
    save_file(tensors, directory / "model.safetensors")
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]
    write_json(directory / "modules.json", [{"idx": int(n), "name": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
                                            for n, path, kind in modules])
    write_json(directory / "1_Pooling/config.json", {"embedding_dimension": 24, "pooling_mode": "cls", "include_prompt": True})
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    write_json(directory / "config_sentence_transformers.json", {"prompts": {"query": "query: "}, "default_prompt_name": "query"})


def text_fields(text):
    for unit in (text[:1], text[:5], text[:2]):
        if len(text) > 60 and unit * (len(text) // len(unit)) == text:
            return {"unit": unit, "count": len(text) // len(unit)}
    return {"text": text}


def write_goldens(directory, stem, texts):
    model = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    prompt = model.prompts.get(model.default_prompt_name, "")
    save_file({"embeddings": torch.from_numpy(model.encode(texts, batch_size=1)).contiguous()}, f"{stem}.safetensors")
    rows = []
    tokenizer.enable_truncation(model.max_seq_length)
    for text in texts:
        rows.append(text_fields(text) | {"ids": tokenizer.encode(prompt + text).ids})
    tokenizer.no_truncation()
    encode_all = lambda texts: [e.ids for e in tokenizer.encode_batch_fast(texts)]
    for family, ranges in corpora.FAMILIES.items():
        numbers = corpora.SplitMix64(len(family))
        strings = [corpora.family_string(numbers, ranges) for _ in range(STRINGS)]
        rows.append({"family": family, "sums": [crc(encode_all(strings[i:i + STRINGS_PER_SUM]))
                                                for i in range(0, STRINGS, STRINGS_PER_SUM)]})
    with open(f"{stem}.jsonl", "w") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    return encode_all


def write_scalars(encode_all, path):
    with open(path, "w") as file:
        for first in range(0, 0x110000, SCALARS_PER_BLOCK):
            block = [chr(c) for c in range(first, first + SCALARS_PER_BLOCK) if not 0xD800 <= c < 0xE000]
            if block:
                sums = [crc(encode_all([corpora.SCALAR_CONTEXTS[name](c) for c in block])) for name in CONTEXTS]
                file.write(f"{first:06X} {' '.join(sums)}\n")


def main():
    minilm = pathlib.Path(sys.argv[1])
    texts = encoder_corpora.texts()[:TEXTS]
    make_small(OUT / "small")
    write_goldens(OUT / "small", OUT / "small/golden", texts)
    write_scalars(write_goldens(minilm, OUT / "minilm", texts), OUT / "minilm_scalars.txt")


if __name__ == "__main__":
    main()
