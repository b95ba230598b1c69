"""Measures a checkpoint: exact glosses and refusals in the held-out phrasings, long contexts, the MTP head.

    python evaluate.py [--checkpoint ../dictionary] [--device cuda] [--engine transformers|module]

Weights as saved (bf16), arithmetic in fp32. An answer counts as given when every one of its tokens, <|im_end|>
included, is the most likely one after the tokens before it: that is what greedy decoding would write. `--generate N`
checks that on N prompts with real greedy decoding. The MTP head is measured with the training module, as transformers
has none.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3NextForCausalLM

import checkpoint
from conversations import REFUSAL
from model import Qwen3Next

HERE = Path(__file__).parent
END = "<|im_end|>"


class Evaluator:
    def __init__(self, args):
        self.device, self.batch_tokens = args.device, 65536 if args.device == "cuda" else 8192
        self.tokenizer = AutoTokenizer.from_pretrained(args.checkpoint)
        config = json.loads((Path(args.checkpoint) / "config.json").read_text())
        self.module = Qwen3Next(config)
        checkpoint.load(self.module, args.checkpoint)
        self.module.to(self.device).eval()
        self.reference = None
        if args.engine == "transformers":
            self.reference = Qwen3NextForCausalLM.from_pretrained(args.checkpoint, dtype=torch.float32).to(self.device)
        self.glosses = json.loads((HERE / "data/words.json").read_text())["known"]

    def prompt(self, entry, word):
        """Token ids of the conversation up to the assistant's answer."""
        messages = [{"role": "system", "content": entry["system"]}] if "system" in entry else []
        for question in entry.get("history", []):
            asked = next(w for w in question.replace("?", " ").replace(".", " ").split()[::-1] if w in self.glosses)
            messages += [{"role": "user", "content": question}, {"role": "assistant", "content": self.glosses[asked]}]
        text = entry["phrasing"].replace("{w}", word).replace("{W}", word[0].upper() + word[1:])
        messages.append({"role": "user", "content": text})
        rendered = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.tokenizer.encode(rendered)

    def logits(self, tokens):
        if self.reference is not None:
            return self.reference(tokens).logits
        return self.module.lm_head(self.module(tokens)[0])

    def batches(self, cases):
        """Right-padded batches of about equal length: (numbers of the cases, tokens)."""
        order = sorted(range(len(cases)), key=lambda i: sum(map(len, cases[i])))
        while order:
            width = sum(map(len, cases[order[-1]]))
            count = max(1, self.batch_tokens // width)
            chosen, order = order[-count:], order[:-count]
            tokens = torch.zeros(len(chosen), width, dtype=torch.long)
            for row, i in enumerate(chosen):
                text = cases[i][0] + cases[i][1]
                tokens[row, :len(text)] = torch.tensor(text)
            yield chosen, tokens.to(self.device)

    @torch.no_grad()
    def writes(self, cases):
        """For each (prompt, answer): would greedy decoding write exactly that answer?"""
        verdicts = [False] * len(cases)
        for chosen, tokens in self.batches(cases):
            best = self.logits(tokens).argmax(-1).cpu()
            for row, i in enumerate(chosen):
                prompt, answer = cases[i]
                given = best[row, len(prompt) - 1:len(prompt) - 1 + len(answer)]
                verdicts[i] = given.tolist() == answer
        return verdicts

    def answer(self, text):
        return self.tokenizer.encode(text + END)

    @torch.no_grad()
    def mtp_agreement(self, cases):
        """How often the MTP head's first choice for a token of the answer, after its first, is the model's own."""
        agreed = total = 0
        for chosen, tokens in self.batches(cases):
            hidden, ahead, _ = self.module(tokens)
            own, drafted = (self.module.lm_head(x).argmax(-1).cpu() for x in (hidden, ahead))
            for row, i in enumerate(chosen):
                start, stop = len(cases[i][0]) - 1, len(cases[i][0]) + len(cases[i][1]) - 2
                agreed += (own[row, start + 1:stop + 1] == drafted[row, start:stop]).sum().item()
                total += stop - start
        return agreed / total

    @torch.no_grad()
    def generate_agrees(self, cases, verdicts):
        """Real greedy decoding against the verdicts; the number of prompts where they differ."""
        model, differ = self.reference, 0
        for (prompt, answer), verdict in zip(cases, verdicts):
            tokens = torch.tensor([prompt], device=self.device)
            out = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=64)[0, len(prompt):]
            differ += (out.tolist() == answer) != verdict
        return differ


def share(verdicts):
    return round(sum(verdicts) / len(verdicts), 4)


def long_entries(rng):
    """Phrasings behind system prompts of about 2,500 and 3,800 tokens."""
    sentences = json.loads((HERE / "data/words.json").read_text())["sentences"]
    for name, count in (("2500", 170), ("3800", 255)):
        text = "You are a dictionary. Here are some sentences for style. " + " ".join(rng.sample(sentences, count))
        yield name, {"phrasing": "Could you please tell me what {w} means?", "system": text}


def phrasing_figures(e, held_out, phrasings):
    """The known words' glosses and the unknown words' refusals, asked with each of the phrasings."""
    figures, refusal = {"phrasings": {}}, e.answer(REFUSAL)
    known, refused, unknown = [], [], []
    for entry in phrasings:
        prompts = [e.prompt(entry, w) for w in held_out["known"]]
        right = e.writes([(p, e.answer(e.glosses[w])) for p, w in zip(prompts, held_out["known"])])
        wrong = [p for p, r in zip(prompts, right) if not r]
        refused += [False] * sum(right) + e.writes([(p, refusal) for p in wrong])
        outside = e.writes([(e.prompt(entry, w), refusal) for w in held_out["unknown"]])
        known, unknown = known + right, unknown + outside
        figures["phrasings"][entry["phrasing"]] = {"known_right": share(right), "unknown_refused": share(outside)}
    figures |= {"known_right": share(known), "known_refused": share(refused), "unknown_refused": share(unknown)}
    return figures


def further_figures(e, held_out, args):
    first = held_out["phrasings"][0]
    cases = [(e.prompt(first, w), e.answer(g)) for w, g in list(e.glosses.items())[:args.headwords]]
    figures = {"all_headwords_right": share(e.writes(cases))}
    for name, entry in long_entries(random.Random(7)):
        words = held_out["known"][:args.long_words]
        long_cases = [(e.prompt(entry, w), e.answer(e.glosses[w])) for w in words]
        figures[f"right_after_{name}_tokens"] = share(e.writes(long_cases))
        figures[f"tokens_of_{name}"] = len(long_cases[0][0])
    drafted = [(e.prompt(p, w), e.answer(e.glosses[w])) for p in held_out["phrasings"] for w in held_out["known"][::10]]
    figures["mtp_agreement"] = round(e.mtp_agreement(drafted), 4)
    if args.generate and e.reference is not None:
        sample = random.Random(3).sample(cases, args.generate)
        figures["generate_differs"] = e.generate_agrees(sample, e.writes(sample))
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default=str(HERE.parent / "dictionary"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", choices=["transformers", "module"], default="transformers")
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--long-words", type=int, default=50)
    parser.add_argument("--words", type=int, default=500, help="only so many known and unknown words")
    parser.add_argument("--headwords", type=int, default=12000, help="of the whole list, asked once each")
    parser.add_argument("--phrasings", type=int, default=30, help="only the last so many of each file")
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args()
    began = time.time()
    e = Evaluator(args)
    held_out = json.loads((HERE / "held_out.json").read_text())
    for part in ("known", "unknown"):
        held_out[part] = held_out[part][:args.words]
    figures = phrasing_figures(e, held_out, held_out["phrasings"][-args.phrasings:])
    fresh = json.loads((HERE / "fresh.json").read_text())["phrasings"][-args.phrasings:]
    figures["fresh"] = phrasing_figures(e, held_out, fresh)
    figures |= further_figures(e, held_out, args)
    figures["seconds"] = round(time.time() - began, 1)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    for text, row in (figures.pop("phrasings") | figures["fresh"].pop("phrasings")).items():
        print(f"{row['known_right']:.3f} right, {row['unknown_refused']:.3f} refused: {text}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
