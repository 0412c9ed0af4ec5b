"""Cards: what the metadata says, that nothing goes unsaid, and figures that are the same bytes twice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import TemplateNotFound, UndefinedError

from cards import figures
from cards.__main__ import main
from cards.card import cell, dataset_card, fenced, model_card, number, settings
from tests.run_folder import run_facts

ROOT = Path(__file__).parent.parent

MODEL: dict[str, Any] = {
    "name": "parley-embedded",
    "parameters": 4_700_000,
    "architecture": {"layers": 6, "attention": {"heads": 4}},
    "vocabulary": 8192,
    "context": 2048,
    "data": [
        {
            "source": "our own dialogues",
            "licence": "CC BY 4.0",
            "dialogues": 1200,
            "examples": 5000,
            "tokens": 2_000_000,
            "weight": 1.0,
        }
    ],
    "tasks": [{"name": "conversation", "examples": 4000, "target_tokens": 900_000}],
    "hyperparameters": {"learning_rate": 0.0006, "batch": 32},
    "steps": 2000,
    "tokens_seen": 64_000_000,
    "seconds": 5400.0,
    "hardware": "2 cores",
    "curve": [{"step": 0, "loss": 9.01}, {"step": 2000, "loss": 2.5, "eval_loss": 2.625}],
    "evaluation": {"held-out": {"perplexity": 13.8}, "valid verdicts": 0.91},
    "versions": {"parley": "0.1.0", "torch": "2.13.0"},
    "command": "python -m training.sft --config embedded.yaml",
}


def facts(**changes: Any) -> dict[str, Any]:
    table = {
        "name": "default",
        "default": True,
        "description": "One row a conversation.",
        "columns": [{"name": "id", "type": "string", "meaning": "one | two"}],
        "features": [{"name": "id", "dtype": "string"}],
        "download_size": 900,
        "splits": [
            {"name": "train", "rows": 1234, "bytes": 800, "files": "data/train-*.parquet"},
            {"name": "test", "rows": 70, "bytes": 40, "files": "data/test-*.parquet"},
        ],
    }
    return {
        "pretty_name": "Talk",
        "repo": "org/talk",
        "license": "cc-by-4.0",
        "license_reason": "It is ours.",
        "language": "en",
        "task_categories": ["text-generation"],
        "task_ids": ["dialogue-generation"],
        "tags": ["synthetic", "parley"],
        "embedded": True,
        "run": run_facts(40),
        "configs": [table],
        "all_splits": False,
        "left_out": ["`default` has no validation split."],
        "spread": [{"of": "turns of a conversation", "mean": 8.61, "median": 8.0, "min": 4, "max": 12}],
        "statistics": [{"name": "distinct_1", "value": 0.021, "meaning": "different words / all words"}],
        "figures": {name: f"figures/{name}.png" for name in ("funnel", "critics", "lengths")},
        "sample": {
            "id": "spc-1",
            "split": "train",
            "about": None,
            "topic": None,
            "document": None,
            "conversation": "User 1: ```hi``` {{ 7 * 7 }}",
            "personas": [{"speaker": "User 1", "name": None, "traits": ["I fish."]}],
        },
    } | changes


def test_the_hub_reads_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(dataset_card("spc", facts()), encoding="utf-8")
    card = DatasetCard.load(path)
    said = card.data.to_dict()
    assert (said["license"], said["language"], said["size_categories"]) == ("cc-by-4.0", ["en"], ["1K<n<10K"])
    assert said["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "test", "path": "data/test-*.parquet"},
            ],
        }
    ]
    assert said["dataset_info"] == [
        {
            "config_name": "default",
            "features": [{"name": "id", "dtype": "string"}],
            "splits": [
                {"name": "train", "num_bytes": 800, "num_examples": 1234},
                {"name": "test", "num_bytes": 40, "num_examples": 70},
            ],
            "download_size": 900,
            "dataset_size": 840,
        }
    ]
    assert yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1]) == said


def test_the_card_says_what_was_done() -> None:
    text = dataset_card("spc", facts())
    for sentence in (
        'data = load_dataset("org/talk")',
        "| `default` | 1,234 | – | 70 |",
        "| `id` | string | one \\| two |",
        "| 1 | 52 | 34 | 17 | 1 | length 5, faithfulness 12, Unavailable 1 |",
        "| 2 | 22 | 1 | 15 | 0 |",
        "52 seeds = 40 kept +\n11 dropped + 1 failed",
        "arXiv 2312.10007",
        "eprint        = {2312.10007}",
        "temperature 0.7, top_p 0.9, max_new_tokens 384",
        "| turns of a conversation | 8.61 | 8 | 4 | 12 |",
        "`default` has no validation split.",
        "(figures/funnel.png)",
        "(figures/lengths.png)",
        "(figures/critics.png)",
        "**This model is tiny.**",
        "User 1: ```hi``` {{ 7 * 7 }}\n````",
    ):
        assert sentence in text
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        "Loading",
        "Structure",
        "How it was made",
        "Statistics",
        "Quality and limits",
        "Biases",
        "Personal data",
        "Licence",
        "Citation",
    ]


def test_the_card_fits_the_run() -> None:
    other = run_facts(40) | {"model": "org/Big-24B", "revision": "abc", "contests": [], "preset": "paper"}
    text = dataset_card("spc", facts(embedded=False, run=other))
    assert "tiny" not in text
    assert "critics.png" not in text
    assert "outputs of `org/Big-24B`" in text
    assert "hosted toxicity score" in text


@pytest.mark.parametrize("preset", ["paper", "laptop"])
def test_the_card_says_how_the_critics_judged(preset: str) -> None:
    run = run_facts(40) | {"preset": preset}
    asked = " ".join(dataset_card("spc", facts(run=run)).split())
    scored = " ".join(
        dataset_card("spc", facts(run=run | {"fields": run["fields"] | {"verdicts": "likelihood"}})).split()
    )
    for text, words in ((asked, True), (scored, False)):
        assert ("five experts (depth," in text) is words
        assert ("score by likelihood instead of asking" in text) is not words
        assert "joins the examples of the next round" in text
        assert ("critics score by likelihood" in text) is not words
    assert ("compared in both orders" in asked) is (preset == "laptop")
    assert "compared in both orders" not in scored


LATENCY = {"p50": 0.0213, "p90": 1.5, "p99": 12.0}
TALK = {"answered": 312, "tokens_in": 148_200, "tokens_out": 61_020}
DEPTH = {"answered": 1_624, "tokens_in": 402_110, "tokens_out": 3_744}
TRAFFIC = {
    "requests": 2_010,
    "retries": 41,
    "overloaded": 30,
    "faults": {"CancelledError": 4, "Unavailable": 40},
    **{name: TALK[name] + DEPTH[name] for name in TALK},
    "latency": LATENCY,
    "roles": {"critic": DEPTH, "generator": TALK},
    "stages": [
        {"name": "depth", "role": "critic", **DEPTH, "latency": LATENCY | {"p50": 0.02}},
        {"name": "generation", "role": "generator", **TALK, "latency": LATENCY | {"p50": 1.25}},
    ],
}
COST = {
    "price_in": 0.5,
    "price_out": 2.0,
    "stages": {"critic": {"depth": 0.208543}, "generator": {"generation": 0.19614}},
    "roles": {"critic": 0.208543, "generator": 0.19614},
    "total": 0.404683,
}


def test_the_card_says_what_went_over_the_wire_and_what_it_cost() -> None:
    text = dataset_card("spc", facts(run=run_facts(40) | {"traffic": TRAFFIC, "cost": COST}))
    assert (
        """Over the wire went 2,010 requests, 41 of them retries: 1,936 were answered, 30 put off by a
busy server (429 or 503), 4 ended in CancelledError, 40 ended in Unavailable."""
        in text
    )
    assert (
        """
| stage | role | answered | tokens in | tokens out | latency p50 | p90 | p99 | cost |
|---|---|--:|--:|--:|--:|--:|--:|--:|
| depth | critic | 1,624 | 402,110 | 3,744 | 0.02 s | 1.5 s | 12 s | 0.2085 |
| generation | generator | 312 | 148,200 | 61,020 | 1.25 s | 1.5 s | 12 s | 0.1961 |
| *all* | critic | 1,624 | 402,110 | 3,744 | | | | 0.2085 |
| *all* | generator | 312 | 148,200 | 61,020 | | | | 0.1961 |
| **all** | | 1,936 | 550,310 | 64,764 | 0.0213 s | 1.5 s | 12 s | 0.4047 |

At 0.5 for a million tokens in and 2.0 for a million out, all of this costs 0.40.
"""
        in text
    )
    assert "| generation | generator | temperature 0.7, top_p 0.9, max_new_tokens 384 |" in text
    assert text.count("148,200") == 2, "tokens stand in one table, not in two"


def test_the_card_of_a_quiet_run_without_prices_is_shorter() -> None:
    alone = TRAFFIC | {
        "faults": {},
        "roles": {"generator": TALK},
        "stages": [TRAFFIC["stages"][1]],
    }
    text = dataset_card("spc", facts(run=run_facts(40) | {"traffic": alone}))
    assert "30 put off by a\nbusy server (429 or 503). What" in text
    assert "| latency p50 | p90 | p99 |\n|---|---|--:|--:|--:|--:|--:|--:|\n| generation |" in text
    assert "| *all* |" not in text
    assert "cost" not in text


def test_a_run_whose_traffic_is_not_known_shows_what_its_stages_asked() -> None:
    older = {name: value for name, value in TRAFFIC.items() if name != "stages"}
    for run in (run_facts(40), run_facts(40) | {"traffic": older}):
        text = dataset_card("spc", facts(run=run))
        assert "Over the wire" not in text
        assert (
            "| generation | generator | 312 | 148,200 | 61,020 | temperature 0.7, top_p 0.9, max_new_tokens 384 |"
            in text
        )


def test_the_card_names_the_critics_where_they_are_another_model() -> None:
    assert "| critic | `" not in dataset_card("spc", facts())
    critic = {"critic": {"model": "org/judge", "revision": "abc", "dialect": "openai"}}
    text = dataset_card("spc", facts(run=run_facts(40) | critic))
    assert "| critic | `org/judge`, revision `abc` |" in text
    assert "Critics are another model than the generator, `org/judge`" in text
    assert "same model" not in text


def test_the_card_speaks_for_no_input_but_our_own() -> None:
    ours = dataset_card("spc", facts())
    assert "people in this dataset are invented" in ours
    assert "none of its text is in here" in ours
    assert "did not come with Parley" not in ours
    for name in ("personas", "exemplars"):
        run = run_facts(40)
        run["fields"] |= {name: "theirs.csv sha256:00", "consistency": "nli", "nli": "org/nli"}
        theirs = dataset_card("spc", facts(run=run))
        assert "are invented" not in theirs
        assert "none of its text" not in theirs
        assert theirs.count("did not come with Parley") == 2
        assert "but `theirs.csv sha256:00`." in theirs
        assert "| contradiction check | `org/nli` |\n| server |" in theirs


@pytest.mark.parametrize(
    "absent",
    [
        "run",
        "configs",
        "license_reason",
        "sample",
        "statistics",
        "spread",
        "figures",
        "tags",
        "embedded",
        "left_out",
        "all_splits",
    ],
)
def test_a_missing_fact_raises(absent: str) -> None:
    with pytest.raises((UndefinedError, KeyError), match=absent):
        dataset_card("spc", {name: value for name, value in facts().items() if name != absent})


def test_a_missing_fact_inside_the_run_raises() -> None:
    for absent in ("prompts", "command", "funnel", "stages", "dialect"):
        run = {name: value for name, value in run_facts(40).items() if name != absent}
        with pytest.raises(UndefinedError, match=absent):
            dataset_card("spc", facts(run=run))
    with pytest.raises(TemplateNotFound):
        dataset_card("no_such_recipe", facts())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1234567, "1,234,567"),
        (0.43211, "0.432"),
        (8.0, "8"),
        (1234.6, "1,235"),
        (100.0, "100"),
        (None, "–"),
        ("x", "x"),
        (0, "0"),
        (6e-05, "6e-05"),
    ],
)
def test_numbers(value: Any, said: str) -> None:
    assert number(value) == said


def test_cells_and_settings() -> None:
    assert cell("a|b\nc") == "a\\|b c"
    assert cell([1, 2]) == "1, 2"
    assert settings({"top_k": None, "temperature": 0.7}) == "temperature 0.7"
    assert settings({}) == "–"


@given(st.text(alphabet="`a \n", max_size=30))
def test_no_text_gets_out_of_its_fence(text: str) -> None:
    fence, *body, close = fenced(text).split("\n")
    assert "\n".join(body) == text
    assert fence == f"{close}text"
    assert close not in text


# ---- figures --------------------------------------------------------------------------------------------------------

DRAWINGS: dict[str, Callable[[Path], None]] = {
    "funnel": lambda path: figures.funnel(run_facts(40)["funnel"], path),
    "funnel of one round": lambda path: figures.funnel([{"round": 1, "kept": 3, "dropped": {}, "failed": {}}], path),
    "lengths": lambda path: figures.lengths([4, 6, 6, 9], [1, 3, 8, 90, 4], path),
    "one length": lambda path: figures.lengths([6], [4], path),
    "critics": lambda path: figures.critics(run_facts(40)["contests"], path),
    "curve": lambda path: figures.curve(MODEL["curve"], path),
}


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_figure_is_the_same_bytes_twice(drawing: str, tmp_path: Path) -> None:
    import matplotlib

    DRAWINGS[drawing](tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "lines.color": "red"}):  # a user's own settings
        DRAWINGS[drawing](tmp_path / "b.png")
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    assert int.from_bytes(data[16:20], "big") == 1280  # width in the PNG header
    assert b"matplotlib" not in data.lower()


# ---- models ---------------------------------------------------------------------------------------------------------


def test_a_model_card_is_read_by_the_hub(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(model_card(MODEL), encoding="utf-8")
    card = ModelCard.load(path)
    assert (card.data.library_name, card.data.pipeline_tag, card.data.license) == (
        "transformers",
        "text-generation",
        "apache-2.0",
    )
    for sentence in (
        "4,700,000 parameters",
        "| attention heads | 4 |",
        "| held-out perplexity | 13.8 |",
        "| our own dialogues | CC BY 4.0 | 1,200 | 5,000 | 2,000,000 | 1 |",
        "| time | 90 min |",
        "went from 9.01 at step 0 to 2.5 at\nstep 2,000; the loss on held-out dialogues ended at 2.62",
    ):
        assert sentence in card.text
    assert "curve.png" not in card.text


@pytest.mark.parametrize("absent", [name for name in MODEL if name != "curve"])
def test_a_model_card_leaves_no_gap(absent: str) -> None:
    with pytest.raises((UndefinedError, KeyError), match=absent):
        model_card({name: value for name, value in MODEL.items() if name != absent})


def test_model_card_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "facts.json", tmp_path / "model" / "README.md"
    source.write_text(json.dumps(MODEL))
    done = subprocess.run(
        [sys.executable, "-m", "cards", "model", str(source), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "![Loss by training step](figures/curve.png)" in out.read_text(encoding="utf-8")
    assert (out.parent / "figures/curve.png").read_bytes()[:4] == b"\x89PNG"
    source.write_text(json.dumps({"name": "x"}))
    assert main(["model", str(source), "--out", str(out)]) == 2
    assert "lacks a fact" in capsys.readouterr().err
    source.write_text("[")
    assert main(["model", str(source)]) == 2
    assert "is not JSON" in capsys.readouterr().err
    assert main(["model", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
