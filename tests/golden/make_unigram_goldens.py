#!/usr/bin/env python3
"""Writes what sentence-transformers and `tokenizers` compute with XLM-RoBERTa and with Unigram, for tests/engine/encoder.

    python3 tests/golden/make_unigram_goldens.py [ME5]

Needs sentencepiece besides what make_encoder_goldens.py needs. ME5 is the directory that `scripts/models.sh me5` made.
Into data/encoder/:
xlmr/              a random XLM-RoBERTa; a Unigram tokenizer with XLM-R's own pipeline: SentencePiece's nmt_nfkc charsmap,
                   WhitespaceSplit and Metaspace, <mask> looked for in the normalised text; weights of a whole language model
e5/                a random BERT; a Unigram tokenizer that differs in all that tokenizer.json may say: a charsmap of its own
                   that folds ASCII, Strip, Replace, Metaspace alone with prepend_scheme "first", bytes for what is unknown
small/golden_xlmr.safetensors   the embeddings of the model small with its network read as an XLM-RoBERTa's (WordPiece)
me5.*              goldens of the real model
Goldens as make_encoder_goldens.py has them, xlmr_scalars.txt too.
"""
import io
import json
import pathlib
import shutil
import sys
import tempfile

import encoder_corpora
import sentencepiece
import tokenizer_corpora as corpora
import torch
from make_encoder_goldens import OUT, SMALL, TEXTS, write_goldens, write_json, write_scalars
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NETWORK = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20)
# What the charsmap of e5 does: folds A to C (so that no ASCII character is left alone), removes, expands, recomposes.
RULES = {"A": "a", "B": "b", "C": "c", "\u200b": "", "\u00ad": "", "ﬁ": "fi", "½": "1⁄2", "e\u0301": "é", "\u0301": "'", "　": " ",
         "\t": " ", "\n": " ", "…": "...", "好": "善", "﷽": "b ism", "ａ": "a", "क\u094d": "K"}


def train(texts, rules=None, vocab_size=900):
    """A SentencePiece model of `texts`: with nmt_nfkc, or with a charsmap of `rules`."""
    lines = [line for text in texts for line in text.replace("\0", "").splitlines() if line.strip() and len(line) < 4000]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for key, value in (rules or {}).items():
            file.write("\t".join(" ".join(f"{ord(c):X}" for c in text) for text in (key, value)) + "\n")
        file.flush()
        options = {"normalization_rule_tsv": file.name} if rules else {"normalization_rule_name": "nmt_nfkc"}
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, vocab_size=vocab_size, model_type="unigram", num_threads=1,
            character_coverage=0.98, minloglevel=2, hard_vocab_limit=False, **options)
    return proto.ModelProto.FromString(model.getvalue())


def unigram(model, extra=(), **options):
    """XLM-R's order: its own special tokens before the pieces, <mask> behind them."""
    pieces = [(piece.piece, round(piece.score, 4)) for piece in model.pieces[3:]]
    vocab = [(token, 0.0) for token in SPECIAL] + pieces + list(extra) + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, **options))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
                                                             special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def xlmr_tokenizer():
    model = train([text for texts in corpora.texts().values() for text in texts] + encoder_corpora.texts())
    tokenizer = unigram(model)
    tokenizer.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Metaspace("▁", prepend_scheme="always")])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=True, special=True)])
    return tokenizer


def e5_tokenizer():
    model = train(corpora.texts()["English"], RULES, vocab_size=300)
    bytes_of = [(f"<0x{byte:02X}>", -20.0) for byte in range(256) if byte not in (0xF4, 0x9F)]
    # Two ways of the same score.
    extra = [("do·", -9.5), ("·re", -9.5)] + bytes_of
    tokenizer = unigram(model, extra, byte_fallback=True)
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(left=False, right=True), normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
        normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first")
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    tokenizer.add_tokens([AddedToken("Capital", normalized=True)])
    return tokenizer


def random_weights(model, seed, prefix):
    torch.manual_seed(seed)
    tensors = {}
    for name, tensor in model.eval().state_dict().items():
        if tensor.is_floating_point():
            shift = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            tensors[prefix + name] = (torch.randn_like(tensor) * 0.3 + shift).half().contiguous()
    return tensors


def make(directory, tokenizer, config, tensors, tokens_max, normalise, prompt):
    directory.mkdir(parents=True, exist_ok=True)
    document = json.loads(tokenizer.to_str())
    (directory / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    write_json(directory / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                                                     "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
                                                     "unk_token": "<unk>", "pad_token": "<pad>"})
    write_json(directory / "config.json", config)
    save_file(tensors, directory / "model.safetensors")
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + [("2_Normalize", "Normalize")] * normalise
    write_json(directory / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                                            for i, (path, kind) in enumerate(modules)])
    write_json(directory / "1_Pooling/config.json", {"word_embedding_dimension": NETWORK["hidden_size"],
                                                     "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": tokens_max, "do_lower_case": False})
    if prompt:
        write_json(directory / "config_sentence_transformers.json", {"prompts": {"query": prompt}, "default_prompt_name": "query"})


def make_xlmr(directory):
    tokenizer = xlmr_tokenizer()
    size = dict(NETWORK, vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=50, type_vocab_size=1,
                layer_norm_eps=1e-5, pad_token_id=1)
    tensors = random_weights(XLMRobertaModel(XLMRobertaConfig(**size), add_pooling_layer=False), 7, "roberta.")
    tensors["lm_head.bias"] = torch.zeros(size["vocab_size"]).half()
    config = {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], "hidden_act": "gelu", **size}
    make(directory, tokenizer, config, tensors, 48, True, None)


def make_e5(directory):
    tokenizer = e5_tokenizer()
    size = dict(NETWORK, vocab_size=tokenizer.get_vocab_size() + 5, max_position_embeddings=40, type_vocab_size=2,
                layer_norm_eps=1e-12)
    tensors = random_weights(BertModel(BertConfig(**size), add_pooling_layer=False), 8, "")
    config = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", **size}
    make(directory, tokenizer, config, tensors, 40, False, "query: ")


def write_small_as_xlmr(small):
    """The same weights and tokenizer, the network an XLM-RoBERTa's with the padding token 0."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch) / "model"
        shutil.copytree(small, directory)
        config = json.loads((directory / "config.json").read_text())
        write_json(directory / "config.json", config | {"model_type": "xlm-roberta", "architectures": ["XLMRobertaModel"]})
        tensors = {name.removeprefix("bert."): tensor for name, tensor in load_file(directory / "model.safetensors").items()}
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        model = SentenceTransformer(str(directory), device="cpu", model_kwargs={"dtype": torch.float32})
        embeddings = model.encode(encoder_corpora.texts()[:TEXTS], batch_size=1)
    save_file({"embeddings": torch.from_numpy(embeddings).contiguous()}, small / "golden_xlmr.safetensors")


def main():
    assert SMALL["max_position_embeddings"] > 40
    texts = encoder_corpora.UNIGRAM + encoder_corpora.texts()[:TEXTS - len(encoder_corpora.UNIGRAM)]
    make_xlmr(OUT / "xlmr")
    write_scalars(write_goldens(OUT / "xlmr", OUT / "xlmr/golden", texts), OUT / "xlmr_scalars.txt")
    make_e5(OUT / "e5")
    write_goldens(OUT / "e5", OUT / "e5/golden", texts)
    write_small_as_xlmr(OUT / "small")
    if len(sys.argv) > 1:
        write_goldens(pathlib.Path(sys.argv[1]), OUT / "me5", texts)


if __name__ == "__main__":
    main()
