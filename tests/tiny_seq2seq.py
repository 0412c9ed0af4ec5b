"""Very small random encoder-decoders with a tokenizer of their own, and dialogues for them, made at test time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana")
THINGS = ("tea", "chess", "bread", "boats", "maps", "snow")


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Dialogues whose summary follows from them, with the columns of DialogSum."""
    made = []
    for number in range(start, start + count):
        name, thing = NAMES[number % len(NAMES)], THINGS[number % len(THINGS)]
        dialogue = f"#Person1#: Hi {name}, do you like {thing}?\n#Person2#: Yes, number {number} is the best."
        made.append({"dialogue": dialogue, "summary": f"{name} likes {thing}."})
    return made


def write(path: Path, made: list[dict[str, str]]) -> Path:
    """Rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def tiny_tokenizer() -> Any:
    """Bytes and some merges; <s> and </s> around every text, as BART has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator((text for row in rows(48) for text in row.values()), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=64,
    )


def make_tiny_seq2seq(folder: Path, kind: str = "bart") -> Path:
    """Writes a model of `kind` (bart, t5, led, or bert, which only encodes) with the tokenizer; returns the folder."""
    import torch
    import transformers

    tokenizer = tiny_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 1, "eos_token_id": 2}
    halves = {
        "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "bos_token_id": 0,
        "decoder_start_token_id": 2, "forced_eos_token_id": 2, "dropout": 0.0,
    }  # fmt: skip
    torch.manual_seed(0)
    model: Any
    if kind == "bart":
        config = transformers.BartConfig(**ids, **halves, max_position_embeddings=128)
        model = transformers.BartForConditionalGeneration(config)
    elif kind == "led":
        room = {"max_encoder_position_embeddings": 128, "max_decoder_position_embeddings": 64}
        model = transformers.LEDForConditionalGeneration(
            transformers.LEDConfig(**ids, **halves, **room, attention_window=8)
        )
    elif kind == "t5":
        model = transformers.T5ForConditionalGeneration(
            transformers.T5Config(**ids, d_model=32, d_kv=16, d_ff=48, num_layers=1, num_heads=2,
                                  decoder_start_token_id=1, dropout_rate=0.0)
        )  # fmt: skip
    else:
        model = transformers.BertModel(
            transformers.BertConfig(
                vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                intermediate_size=48, max_position_embeddings=64, pad_token_id=1,
            )
        )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
