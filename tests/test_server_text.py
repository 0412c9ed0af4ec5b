"""Growing text and stop strings, whatever the pieces they come in; chat templates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.server.prefix import BLOCK, PrefixCache
from synthesis.server.protocol import Refused
from synthesis.server.template import ChatTemplate
from synthesis.server.text import Growing, Stops, Tokenizer
from tests.serving import tiny_folder
from tests.tiny_model import make_tiny_model

TOKENIZER = Tokenizer(tiny_folder(), 384)


@given(st.text())
def test_pieces_add_up_to_the_text(text: str) -> None:
    ids = TOKENIZER.encode(text)
    growing = Growing(TOKENIZER, [5])
    pieces = [growing.add(number, last=place == len(ids) - 1) for place, number in enumerate(ids)]
    assert "".join(pieces) == text


@given(
    st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3), st.data()
)
def test_stops_are_found_whatever_the_pieces(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    watch, seen = Stops(stops), ""
    first = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=None)
    for piece in pieces:
        seen += piece
        beyond = watch.add(piece)
        if beyond is not None:
            assert first == len(seen) - beyond
            return
    assert first is None


def test_a_stop_longer_than_all_that_came_before_is_found() -> None:
    watch = Stops(["aaaa"])
    assert watch.add("aa") is None
    assert watch.add("aab") == 1


def template(tmp_path: Path, source: str | None) -> ChatTemplate:
    folder = make_tiny_model(tmp_path / "model", chat_template=source)
    return ChatTemplate(folder, Tokenizer(folder, 384))


def test_the_template_agrees_with_transformers() -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_folder(), local_files_only=True)
    ours = ChatTemplate(tiny_folder(), TOKENIZER)
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": " héllo\n"}]
    begun = [*asked, {"role": "assistant", "content": "Well, my"}]
    assert ours.render(asked) == theirs.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert ours.render(begun) == theirs.apply_chat_template(begun, tokenize=False, continue_final_message=True)
    assert ours.render([*asked, {"role": "assistant", "content": ""}]) == ours.render(asked)
    text = "My dog: Größe 🙂 <|im_end|> bread"
    assert TOKENIZER.encode(text) == theirs(text)["input_ids"]
    assert TOKENIZER.decode(TOKENIZER.encode(text), skip_specials=True) == theirs.decode(
        theirs(text)["input_ids"], skip_special_tokens=True
    )


PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize(
    ("source", "begun", "prompt"),
    [
        (PLAIN, "e", "[user]hi<|end|>[assistant]e"),  # also a letter of the end mark
        (PLAIN, "<|end|>", "[user]hi<|end|>[assistant]<|end|>"),
        (PLAIN, " Well, ", "[user]hi<|end|>[assistant] Well, "),
        (PLAIN.replace("m.content", "m.content | trim"), " Well,\n", "[user]hi<|end|>[assistant]Well,"),
    ],
)
def test_a_message_is_continued_where_it_ends(tmp_path: Path, source: str, begun: str, prompt: str) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": begun}]
    assert template(tmp_path, source).render(messages) == prompt


def test_a_message_that_does_not_appear_cannot_be_continued(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be continued"):
        template(tmp_path, "{{ messages[0].content }}").render(
            [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hi"}]
        )


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (None, "template_error", "has no chat template"),
        ("{{ raise_exception('roles must alternate') }}", "template_error", "roles must alternate"),
        ("{% for %}", "template_error", "Template error"),
        ("{{ messages[0].missing.deeper }}", "missing_template_variable", "Missing template vatiable"),
        ("{{ messages.append(1) }}", "template_error", "Template error"),
    ],
)
def test_a_failing_template_is_refused_by_kind(tmp_path: Path, source: str | None, kind: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        template(tmp_path, source).render([{"role": "user", "content": "hi"}])
    assert caught.value.kind == kind


def test_a_template_may_use_what_transformers_offers(tmp_path: Path) -> None:
    source = "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}"
    messages: list[dict[str, Any]] = [{"role": "user", "content": "ü"}, {"role": "user", "content": "b"}]
    assert template(tmp_path, source).render(messages) == '{"role": "user", "content": "ü"}'


def cut(data: Any, start: int, stop: int) -> Any:
    return data[start:stop].clone()


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.lists(st.integers(0, 2), min_size=1, max_size=60)), min_size=1, max_size=12
    )
)
def test_the_prefix_cache_returns_what_was_stored(prompts: list[tuple[int, list[int]]]) -> None:
    """To the adapter that stored it: what is stored tells the adapter along with the tokens."""
    import torch

    cache = PrefixCache(limit=10 * BLOCK * 8)  # ten blocks of 64-bit numbers
    for adapter, prompt in prompts:
        data = torch.tensor(prompt + [0] * BLOCK) + 10 * adapter
        blocks, missing = cache.find(prompt, adapter)
        reused = [int(value) - 10 * adapter for block in blocks for value in block.data]
        assert reused == prompt[: len(reused)]
        assert len(reused) < len(prompt)
        assert (missing is None) == (len(prompt) - len(reused) <= BLOCK)
        cache.store(prompt, partial(cut, data), adapter)
        assert len(cache) <= 10
