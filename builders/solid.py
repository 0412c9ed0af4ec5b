"""SOLID as a dataset: dialogues with the intents of their turns, chat messages, and what learns intents and plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datasets import List, Value

from builders import labels, provenance
from builders.dialogues import Column, DialogueBuilder, DialogueConfig, Row, merged, shipped, sides
from synthesis.dialogue import Dialogue
from synthesis.errors import BuildError
from synthesis.intents import one_step
from synthesis.intents.classifier import line
from synthesis.intents.labels import AGENT, INTENTS, ROLES, USER
from synthesis.intents.plans import Plan

TEXT, TEXTS, WHOLE = Value("string"), List(Value("string")), Value("int32")
MESSAGES = List({"role": TEXT, "content": TEXT})

DEFAULT = {
    "id": Column(TEXT, "entity and attribute; the same in every config"),
    "name": Column(TEXT, "the entity that the dialogue is about"),
    "type": Column(TEXT, "what kind of thing it is"),
    "attribute": Column(TEXT, "what of it the user asks about"),
    "document": Column(TEXT, "background on the entity, which both sides were written from"),
    "starter": Column(TEXT, "the question that opens the dialogue: its first turn"),
    "turns": Column(
        List({"speaker": TEXT, "text": TEXT, "intents": TEXTS}),
        f"the dialogue, turn by turn. `speaker`: {USER} or {AGENT}; `intents`: codes of what the turn was to do",
    ),
    "instructions": Column(TEXTS, "what was told for each turn, first to last; null where the plan alone was"),
    "ends": Column(
        TEXTS,
        "how the reply of each turn ended, in the server's words; `given` for an opening that was there before; null "
        "where turns are not replies of their own",
    ),
    "notes": Column(TEXTS, "what to know of this dialogue, such as that its oldest turns were out of sight"),
    **provenance.COLUMNS,
}

CHAT = {
    "id": DEFAULT["id"],
    "assistant": Column(TEXT, f"whose side the assistant takes: {AGENT} or {USER}"),
    "messages": Column(MESSAGES, "a system message with role, entity and document, then user and assistant in turn"),
}

LABELLED = {
    "id": DEFAULT["id"],
    "turn": Column(WHOLE, "number of the utterance in its dialogue, from 1"),
    "role": Column(TEXT, f"who says it: {USER} or {AGENT}"),
    "context": Column(TEXTS, "everything said before, oldest first, each as `Role: text`"),
    "utterance": Column(TEXT, "what is said"),
    "labels": Column(TEXTS, "codes of its intents, in alphabetical order"),
    "multi_hot": Column(
        List(Value("float32"), length=len(INTENTS)),
        f"the same as numbers: 1 for each intent that it has, 0 for the others, in the order {', '.join(INTENTS)}",
    ),
}

ONE_STEP = {
    "id": DEFAULT["id"],
    "prompt": Column(TEXT, "entity, attribute and document, and the plan: who speaks with which intents, by number"),
    "completion": Column(TEXT, "the dialogue, a line a turn: `number. Role [INTENTS]: text`"),
}


# ---- rows -----------------------------------------------------------------------------------------------------------


def dialogues(dialogue: Dialogue) -> Iterator[Row]:
    """The `default` row of a dialogue."""
    made, goal = provenance.cells(dialogue), dialogue.goal or {}
    yield {
        "id": dialogue.id,
        **_seed(dialogue),
        "turns": [
            {"speaker": turn.speaker, "text": turn.text, "intents": list(turn.intents)} for turn in dialogue.turns
        ],
        "instructions": goal.get("instructions"),
        "ends": goal.get("ends"),
        "notes": list(dialogue.notes),
        **made,
    }


def chats(dialogue: Dialogue) -> Iterator[Row]:
    """Two `messages` rows of a dialogue, the agent's side and the user's; one where only one has anything to say."""
    seed = _seed(dialogue)
    yield from sides(dialogue, merged(dialogue.turns), {speaker: _scene(seed, speaker) for speaker in (AGENT, USER)})


def utterances(dialogue: Dialogue) -> Iterator[Row]:
    """The `intents` rows of a dialogue, one a turn."""
    _seed(dialogue)
    context: list[str] = []
    for number, turn in enumerate(dialogue.turns, 1):
        yield {
            "id": dialogue.id,
            "turn": number,
            "role": turn.speaker,
            "context": list(context),
            "utterance": turn.text,
            "labels": sorted(turn.intents),
            "multi_hot": [float(code in turn.intents) for code in INTENTS],
        }
        context.append(line(turn.speaker, turn.text))


def whole(dialogue: Dialogue) -> Iterator[Row]:
    """The `one_step` row of a dialogue; none where a turn is empty, which a reply in this form must not have."""
    seed = _seed(dialogue)
    if all(turn.text.strip() for turn in dialogue.turns):
        asked = one_step.prompt(seed, Plan.of(dialogue.turns))
        yield {"id": dialogue.id, "prompt": asked, "completion": one_step.render(dialogue.turns)}


def _seed(dialogue: Dialogue) -> dict[str, str]:
    """What a dialogue is about, by column. Raises BuildError for a dialogue that is none of this kind."""
    kind = (dialogue.goal or {}).get("type")
    told = {"name": dialogue.topic, "type": kind, "attribute": dialogue.subtopic, "document": dialogue.document}
    seed = {key: value for key, value in told.items() if isinstance(value, str) and value.strip()}
    absent = [key for key in told if key not in seed]
    if absent:
        raise BuildError(f"dialogue {dialogue.id} has no {', '.join(absent)}: it is no dialogue about an entity")
    for number, turn in enumerate(dialogue.turns, 1):
        if turn.speaker not in ROLES or not turn.intents or not INTENTS.keys() >= set(turn.intents):
            raise BuildError(
                f"dialogue {dialogue.id}, turn {number}: expected {' or '.join(ROLES)} with intents of "
                f"{', '.join(INTENTS)}, got {turn.speaker} with {', '.join(turn.intents) or 'none'}"
            )
    return seed | {"starter": dialogue.turns[0].text}


def _scene(seed: Mapping[str, str], speaker: str) -> str:
    """The system message of a side."""
    about = f"{seed['name']} ({seed['type']}), and about its {seed['attribute']} above all"
    who = {
        AGENT: f"You are an agent who helps a user. The user looks for information on {about}. This is known:",
        USER: f"You are a user who talks to an agent. You look for information on {about}. This is known:",
    }
    return f"{who[speaker]}\n\n{seed['document']}"


# ---- the dataset ----------------------------------------------------------------------------------------------------


MORE_CONFIGS = (
    DialogueConfig(
        name="messages",
        version="1.0.0",
        columns=CHAT,
        rows=chats,
        description="Chat messages as TRL's SFTTrainer takes them. Each dialogue gives two rows, the agent's side and "
        "the user's. The first message after the system message is always the user's; for the side of the user, who "
        "opens the dialogue, the opening question is told in the system message instead. Runs of one speaker are "
        "joined into one message; the last message may be either side's.",
    ),
    DialogueConfig(
        name="intents",
        version="1.0.0",
        columns=LABELLED,
        rows=utterances,
        description="One row an utterance, for a classifier that finds several intents at once. `multi_hot` is what "
        'a model of transformers with `problem_type="multi_label_classification"` wants as its labels: '
        '`data.remove_columns("labels").rename_column("multi_hot", "labels")`.',
    ),
    DialogueConfig(
        name="one_step",
        version="1.0.0",
        columns=ONE_STEP,
        rows=whole,
        description="Prompt and completion, as TRL's SFTTrainer takes them, for a generator that writes the whole "
        "dialogue in one call, as the recipe solid_rl asks it to. No tag of quality stands in the prompts. Dialogues "
        "with an empty turn have no row.",
    ),
)
"""Configs beside the default, the same for solid_rl."""


class Solid(DialogueBuilder):
    """Users look for information about entities that a model named itself, each utterance with intents set before."""

    dataset = "solid"
    pretty_name = "SOLID by Parley"
    license = "cc-by-4.0"
    license_reason = (
        "The prompts, types, entities and documents that come with Parley were written for it, so that no other "
        "text's licence reaches into this dataset."
    )
    task_categories = ("text-classification", "text-generation")
    task_ids = ("multi-label-classification", "intent-classification", "dialogue-generation")
    tags = ("intent-prediction", "information-seeking")
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and the type are those of `datasets`
        DialogueConfig(
            name="default",
            version="1.0.0",
            columns=DEFAULT,
            rows=dialogues,
            description="One row a dialogue: what it is about, the turns with their intents, what the model was told "
            "for each, and where all of it comes from.",
        ),
        *MORE_CONFIGS,
    ]

    def licensed(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """`license`, but for entities of others, whose documents stand here and have a licence of their own."""
        if fields.get("entities") is None or "entities" in shipped(fields):
            return self.license, self.license_reason
        return "unknown", (
            "Entities that did not come with Parley are behind this dataset, with what their file says of them, and "
            "whoever built it named no licence."
        )

    def group(self, dialogue: Dialogue) -> str:
        """The entity, about which there are dialogues on several attributes from one document."""
        kind = (dialogue.goal or {}).get("type")
        return "\n".join(" ".join(str(each).casefold().split()) for each in (dialogue.topic or dialogue.id, kind))

    def particulars(
        self, dialogues: Iterable[Dialogue], reference: Iterable[Dialogue] | None = None
    ) -> Mapping[str, Any]:
        """How often each intent and each combination occurs."""
        return labels.counted(dialogues)
