"""The dataset of solid: its configs, its splits by entity, its card and the intents that the card counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from builders.build import Built, build
from builders.labels import counted
from builders.solid import Solid, chats, dialogues, utterances, whole
from synthesis.contents import digested
from synthesis.dialogue import Turn
from synthesis.dialogue_files import Dialogues
from synthesis.errors import BuildError
from synthesis.intents import one_step
from synthesis.intents.entities import load
from synthesis.intents.plans import Plan
from synthesis.recipes.solid import HERE
from tests.intent_talks import FIELDS, GULL, forty, intent_run, talk

ORDER = ["CQ", "FD", "FQ", "GG", "IR", "JK", "NF", "O", "OQ", "PA", "PF", "RQ"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("solid")
    return build(intent_run(folder / "run"), folder / "dist")


def card_of(built: Built) -> str:
    """The card on one line."""
    return " ".join((built.folder / "README.md").read_text(encoding="utf-8").split())


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_a_default_row_by_hand() -> None:
    (row,) = dialogues(talk())
    assert [row[key] for key in ("name", "type", "attribute", "document")] == ["Herring Gull", "Bird", "food", GULL]
    assert row["starter"] == "What does a herring gull eat?"
    assert row["turns"][1] == {
        "speaker": "Agent",
        "text": "Fish, most of all. Where did you see it?",
        "intents": ["IR", "PA"],
    }
    assert row["ends"] == ["given", "eos_token", "eos_token", "stop_sequence"]
    assert row["instructions"][0] == "Ask the question that opens the conversation."
    assert row["notes"] == ["context: the oldest 1 turns unseen at turn 4"]
    assert (row["model"], row["round"], row["requests"], row["tokens_out"]) == ("teacher", 1, 5, 100)
    (other,) = dialogues(talk(goal={"type": "Bird"}))
    assert other["instructions"] is None
    assert other["ends"] is None


def test_a_chat_for_each_side_with_the_document_and_its_runs_joined() -> None:
    agent, user = chats(talk())
    assert (agent["assistant"], user["assistant"]) == ("Agent", "User")
    system, *said = agent["messages"]
    assert system["role"] == "system"
    assert "Herring Gull (Bird), and about its food" in system["content"]
    assert system["content"].endswith(f"This is known:\n\n{GULL}")
    assert [(each["role"], each["content"]) for each in said] == [
        ("user", "What does a herring gull eat?"),
        ("assistant", "Fish, most of all. Where did you see it?\nCrabs, too."),
        ("user", "By the harbour, thank you!"),
    ]
    system, *said = user["messages"]
    assert f"{GULL}\n\nYou have just opened the conversation with: What does a herring gull eat?" in system["content"]
    assert [each["role"] for each in said] == ["user", "assistant"]
    only_agent = talk(turns=talk().turns[:3])
    assert [row["assistant"] for row in chats(only_agent)] == ["Agent"]


def test_a_row_an_utterance_with_what_was_said_before() -> None:
    rows = list(utterances(talk()))
    assert [(row["turn"], row["role"], row["labels"]) for row in rows] == [
        (1, "User", ["OQ"]),
        (2, "Agent", ["IR", "PA"]),
        (3, "Agent", ["PA"]),
        (4, "User", ["FD", "GG"]),
    ]
    assert rows[0]["context"] == []
    assert rows[2]["context"] == [
        "User: What does a herring gull eat?",
        "Agent: Fish, most of all. Where did you see it?",
    ]
    assert rows[2]["utterance"] == "Crabs, too."
    assert rows[1]["multi_hot"] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]


def test_prompt_and_completion_of_the_whole() -> None:
    (row,) = whole(talk())
    for line in ("Type: Bird", "Name: Herring Gull", "Attribute: food", f"Document: {GULL}", "4. User [FD+GG]"):
        assert line in row["prompt"].splitlines()
    assert row["completion"].splitlines()[1:3] == [
        "2. Agent [IR+PA]: Fish, most of all. Where did you see it?",
        "3. Agent [PA]: Crabs, too.",
    ]
    assert one_step.parse(row["completion"], Plan.of(talk().turns)) == talk().turns
    first, *rest = talk().turns
    assert list(whole(talk(turns=(first, Turn("Agent", " ", ("PA",)), *rest)))) == []


@pytest.mark.parametrize("rows", [dialogues, chats, utterances, whole])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"document": None}, "has no document"),
        ({"goal": None, "subtopic": " "}, "has no type, attribute"),
        ({"turns": (Turn("User", "Hm?"),)}, "turn 1: expected User or Agent .* got User with none"),
        ({"turns": (Turn("User", "Hm?", ("OQ", "QQ")),)}, "got User with OQ, QQ"),
        ({"turns": (Turn("System", "Hm?", ("OQ",)),)}, "got System with OQ"),
    ],
)
def test_every_config_refuses_what_has_no_entity_or_no_intents(rows: Any, changes: Any, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        list(rows(talk(**changes)))


# ---- the dataset ----------------------------------------------------------------------------------------------------


def test_every_config_loads_with_what_was_made(built: Built, tmp_path: Path) -> None:
    assert list(built.rows) == ["default", "messages", "intents", "one_step"]
    made = {dialogue.id: dialogue for dialogue in forty()}
    where: dict[str, set[str]] = {}
    for config, each in (("default", 1), ("messages", 2), ("intents", 3), ("one_step", 1)):
        loaded = load_dataset(str(built.folder), config, cache_dir=str(tmp_path))
        assert sum(map(len, loaded.values())) == 40 * each
        for split, rows in loaded.items():
            for row in rows:
                where.setdefault(str(made[row["id"]].topic), set()).add(split)
                if config == "intents":
                    assert [code for code, on in zip(ORDER, row["multi_hot"], strict=True) if on] == row["labels"]
                    assert row["utterance"] == made[row["id"]].turns[row["turn"] - 1].text
                if config == "one_step":
                    turns = made[row["id"]].turns
                    assert one_step.parse(row["completion"], Plan.of(turns)) == turns
                if config == "default":
                    assert [turn["intents"] for turn in row["turns"]] == [["OQ"], ["PA"], ["PF"]]
    assert len(where) == 20
    assert all(len(splits) == 1 for splits in where.values())
    assert set.union(*where.values()) == {"train", "validation", "test"}


def test_what_the_card_says_of_transformers_is_so(built: Built, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    data = load_dataset(str(built.folder), "intents", split="train", cache_dir=str(tmp_path))
    ready = data.remove_columns("labels").rename_column("multi_hot", "labels").with_format("torch")
    labels = ready[:4]["labels"]
    assert (labels.dtype, tuple(labels.shape)) == (torch.float32, (4, 12))
    assert torch.nn.functional.binary_cross_entropy_with_logits(torch.zeros(4, 12), labels) > 0


def test_metrics_read_run_and_dataset(built: Built) -> None:
    run = built.folder.parents[1] / "run"
    assert list(Dialogues(str(run / "dialogues.jsonl"))) == forty()
    assert {turn.intents for dialogue in Dialogues(str(built.folder)) for turn in dialogue.turns} == {
        ("OQ",),
        ("PA",),
        ("PF",),
    }


def test_dialogues_of_an_entity_go_together(tmp_path: Path) -> None:
    builder = Solid(config_name="default", data_dir=str(tmp_path), cache_dir=str(tmp_path))
    group = builder.group(talk())
    assert group == builder.group(talk(id="other", topic="herring  gull", subtopic="nest"))
    assert group != builder.group(talk(goal={"type": "Ship"}))
    assert builder.group(talk(topic=None)) != builder.group(talk(topic=None, id="other"))


# ---- what is counted ------------------------------------------------------------------------------------------------


def test_intents_by_hand() -> None:
    found = counted([talk(), talk(turns=(Turn("Agent", "So, then?", ("PA", "IR")),))])
    assert (found["utterances"], found["several"], found["different"], found["rest"]) == (5, 0.6, 4, 0)
    by_code = {row["code"]: row for row in found["intents"]}
    assert list(by_code) == ORDER
    # 9, 2 and 2 words
    assert by_code["PA"] == {
        "code": "PA",
        "name": "potential answer",
        "count": 3,
        "share": 0.6,
        "words": 13 / 3,
        "User": 0,
        "Agent": 3,
    }
    assert (by_code["NF"]["count"], by_code["NF"]["words"]) == (0, None)
    assert found["combinations"] == [
        {"labels": "IR+PA", "count": 2, "share": 0.4},
        {"labels": "FD+GG", "count": 1, "share": 0.2},
        {"labels": "OQ", "count": 1, "share": 0.2},
        {"labels": "PA", "count": 1, "share": 0.2},
    ]


def test_rare_combinations_are_counted_together() -> None:
    pairs = [(one, other) for one in ORDER for other in ORDER if one < other]
    found = counted([talk(turns=tuple(Turn("User", "Well.", pair) for pair in (*pairs, pairs[-1])))])
    assert (found["different"], found["several"]) == (66, 1.0)
    assert found["combinations"][0] == {"labels": "PF+RQ", "count": 2, "share": 2 / 67}
    assert len(found["combinations"]) == 32
    assert found["rest"] == 67 - 33


# ---- the card -------------------------------------------------------------------------------------------------------


def test_the_card(built: Built) -> None:
    head = DatasetCard.load(built.folder / "README.md").data.to_dict()
    assert (head["license"], head["task_categories"][0]) == ("cc-by-4.0", "text-classification")
    card = card_of(built)
    for sentence in (
        "| OQ | original question | 40 | 0.333 | 40 | 0 | 7 |",
        "| PA | potential answer | 40 | 0.333 | 0 | 40 | 9 |",
        "| JK | junk | 0 | 0 | 0 | 0 | – |",
        "| PF | 40 | 0.333 |",
        "120 utterances, 0 % of them with more than one intent; 3 different combinations.",
        "The model seeded itself.",
        f"of the types of `{FIELDS['types_file']}`",
        "up to 2 of them it wrote the question",
        "user and agent take turns, 3 to 10 of them",
        "it had merged their instructions into one itself",
        "had to find one of them in every utterance",
        "| intents | 8 | 0.154 |",
        "| **kept** | 40 | 0.769 |",
        "no entity and no document is in two splits",
        "so are the people",
        "eprint = {2402.11633}",
        "Entity: Lighthouse ",
        "Attribute: h",
        "Agent [PA]: Its h",
    ):
        assert sentence in card
    for absent in (
        "brought back",
        "others* |",
        "did not come with Parley",
        "contains what the file",
        "occupations, hobbies",
        "Nothing has checked",
    ):
        assert absent not in card


def test_entities_and_sequences_of_others_are_told(tmp_path: Path) -> None:
    fields = FIELDS | {
        "entities": "/home/me/people.tsv sha256:00",
        "sequences": "MSDialog-Intent.json sha256:11",
        "draw": "copy",
        "roles": "free",
        "merge": "concat",
        "consistency": "none",
        "bugs": True,
    }
    made = build(intent_run(tmp_path / "run", fields=fields), tmp_path / "dist")
    card = card_of(made)
    assert card.startswith("--- license: unknown ")
    for sentence in (
        "**This run brought back the defects of the released code**",
        "entities come from a list",
        "each as likely as any other",
        "Roles may have any intent there.",
        "Nothing has checked whether utterances have their intents.",
        "**This dataset contains what the file of entities says**",
        "MSDialog is given out on request only",
        "Prompts are raw",
    ):
        assert sentence in card
    assert "/home/me" not in card
    chosen = build(tmp_path / "run", tmp_path / "dist", license="mit")
    assert card_of(chosen).startswith("--- license: mit ")


def test_the_card_names_the_classifier_that_judged(tmp_path: Path) -> None:
    fields = FIELDS | {"by": "classifier", "classifier": "/home/me/runs/judge", "consistency": "all"}
    card = card_of(build(intent_run(tmp_path / "run", fields=fields), tmp_path / "dist"))
    assert "a trained classifier (`judge`), which reads the words alone, had to find all of them" in card
    assert "had never learned were not asked of it" in card
    assert "The classifier errs as often" in card
    assert "The critic is a model" not in card


def test_the_entities_of_parley_make_groups_enough_for_a_test_split() -> None:
    entities = load(HERE / "solid_entities.jsonl")
    assert len({(each.name, each.type) for each in entities}) >= 20
    for each in entities:
        assert each.document
        assert len(each.attributes) == 3
        assert all(question and question.endswith("?") for _, question in each.attributes)


def test_the_entities_of_parley_need_no_other_licence(tmp_path: Path) -> None:
    fields = FIELDS | {"entities": digested(HERE / "solid_entities.jsonl"), "sequences": "mine.json sha256:11"}
    card = card_of(build(intent_run(tmp_path / "run", fields=fields), tmp_path / "dist"))
    assert card.startswith("--- license: cc-by-4.0 ")
    for sentence in (
        "entities, documents, attributes and opening questions come from a list",
        "by a Markov chain fitted to the sequences of `mine.json",
        "came with Parley.",
    ):
        assert sentence in card
    assert "contains what the file" not in card


def test_a_file_of_the_same_name_is_not_that_of_parley(tmp_path: Path) -> None:
    fields = FIELDS | {"entities": "solid_entities.jsonl sha256:0011223344556677"}
    card = card_of(build(intent_run(tmp_path / "run", fields=fields), tmp_path / "dist"))
    assert card.startswith("--- license: unknown ")
    assert "**This dataset contains what the file of entities says**" in card
    assert "came with Parley." not in card.replace("did not come with Parley.", "")


def test_the_card_tells_of_types_that_are_others(tmp_path: Path) -> None:
    sentence = "The types of this run did not come with Parley."
    assert sentence not in card_of(build(intent_run(tmp_path / "ours"), tmp_path / "dist-ours"))
    fields = FIELDS | {"types_file": "solid_types.txt sha256:0011223344556677"}
    assert sentence in card_of(build(intent_run(tmp_path / "theirs", fields=fields), tmp_path / "dist-theirs"))
