"""A very small random Llama with its own tokenizer and chat template, made in a folder at test time.

    folder = make_tiny_model(tmp_path / "model")

The folder holds what save_pretrained would write: config.json, generation_config.json, model.safetensors,
tokenizer.json, tokenizer_config.json. The same arguments give the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIALS = ("<|pad|>", "<|begin|>", "<|im_start|>", "<|im_end|>")

SENTENCES = (
    "I grew up beside a lake and still swim every morning before work.",
    "Do you like to cook? My sister taught me to bake bread last winter.",
    "The train to the coast leaves at nine, so bring a warm coat and some tea.",
    "My dog is afraid of thunder, but he loves the snow.",
    "What kind of music do you play? I have been learning the cello for two years.",
    '{"name": "Ada", "age": 36, "likes": ["tea", "chess"], "married": false}',
    "We could meet near the old market; there is a quiet cafe with green chairs.",
    "Persona: I am a nurse. I have three cats. I collect stamps from islands.",
    "That sounds wonderful! How long did it take you to get there?",
    "Größe, naïve, façade, jalapeño: words that keep their accents — and an emoji 🙂.",
)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def make_tiny_model(
    folder: Path,
    seed: int = 0,
    hidden: int = 64,
    layers: int = 2,
    vocab: int = 384,
    *,
    heads: int = 4,
    kv_heads: int | None = None,
    intermediate: int = 100,
    context: int = 512,
    tied: bool = True,
    chat_template: str | None = CHAT_TEMPLATE,
    **config: Any,
) -> Path:
    """Write the model and return its folder. `config` adds to config.json, for instance `attention_bias=True`."""
    folder.mkdir(parents=True, exist_ok=True)
    size = _write_tokenizer(folder, vocab, chat_template)
    written = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": size,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads or heads,
        "head_dim": hidden // heads,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": SPECIALS.index("<|begin|>"),
        "eos_token_id": SPECIALS.index("<|im_end|>"),
        "pad_token_id": SPECIALS.index("<|pad|>"),
        "dtype": "float32",
        **config,
    }
    _write_json(folder / "config.json", written)
    ends = {key: written[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", ends)
    _write_weights(folder, seed, written)
    return folder


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tokenizer(folder: Path, vocab: int, chat_template: str | None) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<|begin|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named}
    if chat_template is not None:
        config["chat_template"] = chat_template
    _write_json(folder / "tokenizer_config.json", config)
    return max(vocab, tokenizer.get_vocab_size(with_added_tokens=True))


def _write_weights(folder: Path, seed: int, config: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import save_file

    draw = torch.Generator().manual_seed(seed)
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    tensors: dict[str, torch.Tensor] = {}

    def weight(name: str, rows: int, columns: int, *, biased: bool = False) -> None:
        tensors[f"{name}.weight"] = torch.randn(rows, columns, generator=draw) * columns**-0.5
        if biased:
            tensors[f"{name}.bias"] = torch.randn(rows, generator=draw) * 0.1

    weight("model.embed_tokens", config["vocab_size"], hidden)
    for number in range(config["num_hidden_layers"]):
        at = f"model.layers.{number}"
        biased = bool(config.get("attention_bias", False))
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            weight(f"{at}.self_attn.{name}_proj", rows, hidden, biased=biased)
        weight(f"{at}.self_attn.o_proj", hidden, queries, biased=biased)
        for name, rows, columns in (("gate", wide, hidden), ("up", wide, hidden), ("down", hidden, wide)):
            weight(f"{at}.mlp.{name}_proj", rows, columns, biased=bool(config.get("mlp_bias", False)))
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}.{name}.weight"] = 1 + 0.1 * torch.randn(hidden, generator=draw)
    tensors["model.norm.weight"] = 1 + 0.1 * torch.randn(hidden, generator=draw)
    if not config["tie_word_embeddings"]:
        weight("lm_head", config["vocab_size"], hidden)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
