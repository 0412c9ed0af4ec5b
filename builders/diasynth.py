"""DiaSynth as a dataset: dialogues with their summaries and what shaped them, chat messages, and summarization."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from datasets import List, Value

from builders import provenance
from builders.dialogues import Column, DialogueBuilder, DialogueConfig, Row, sides
from synthesis.dialogue import Dialogue
from synthesis.errors import BuildError

TEXT, TEXTS = Value("string"), List(Value("string"))
MESSAGES = List({"role": Value("string"), "content": Value("string")})

SHAPED = {
    "age_and_gender": "how old the two are, and of which gender",
    "familiarity": "how well they know each other",
    "emotional_states": "how each of them feels",
    "formality": "how formally they speak",
    "duration": "how long they talk",
    "medium": "by which means they talk",
    "location": "where they are",
    "agreement_or_disagreement": "whether they are of one mind",
    "natural_features": "fillers, pauses, slang and the like",
}
"""Columns of the characteristics, with their meaning; the tenth is the topic."""

DEFAULT = {
    "id": Column(TEXT, "the pair of personas and their subtopic; the same in every config"),
    "topic": Column(TEXT, "the topic that was given"),
    "subtopic": Column(TEXT, "what of it the dialogue is about; null in a run without subtopics"),
    "persona_1": Column(TEXT, "who speaks, in a sentence; null in a run without personas"),
    "persona_2": Column(TEXT, "who speaks with them"),
    "speaker_1": Column(TEXT, "the speaker who has persona_1; null where either may be either"),
    "speaker_2": Column(TEXT, "the speaker who has persona_2"),
    **{
        name: Column(TEXT, f"{meaning}: the value that was wanted; null where the model chose")
        for name, meaning in SHAPED.items()
    },
    "turns": Column(List({"speaker": TEXT, "text": TEXT}), "the dialogue, turn by turn"),
    "dialogue": Column(TEXT, "the same as one text, `speaker: utterance` a line"),
    "summary": Column(TEXT, "what was said, by the same model"),
    "reasoning": Column(TEXT, "the chain of thought before the dialogue; null in a run without"),
    "few_shots": Column(TEXTS, "ids of the example dialogues in the prompt"),
    "notes": Column(TEXTS, "`either speaker may be either persona`: no persona was given to a speaker"),
    **provenance.COLUMNS,
}

CHAT = {
    "id": DEFAULT["id"],
    "assistant": Column(TEXT, "the speaker whose side the assistant takes"),
    "messages": Column(MESSAGES, "a system message that sets the scene, then user and assistant in turn"),
}

SUMMED_UP = {
    "id": DEFAULT["id"],
    "dialogue": DEFAULT["dialogue"],
    "summary": DEFAULT["summary"],
    "topic": Column(TEXT, "what the dialogue is about: the subtopic, or in a run without subtopics the topic"),
}


def dialogues(dialogue: Dialogue) -> Iterator[Row]:
    """The `default` row of a dialogue."""
    made = provenance.cells(dialogue)
    _check(dialogue)
    first, second = _personas(dialogue)
    speakers: list[str | None] = [*dialogue.profiles] or [None, None]
    shaped: Mapping[str, str] = dialogue.characteristics or {}
    yield {
        "id": dialogue.id,
        "topic": dialogue.topic,
        "subtopic": dialogue.subtopic,
        "persona_1": first,
        "persona_2": second,
        "speaker_1": speakers[0],
        "speaker_2": speakers[1],
        **{name: shaped.get(name.replace("_", " ")) for name in SHAPED},
        "turns": [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns],
        "dialogue": dialogue.text(),
        "summary": dialogue.summary,
        "reasoning": dialogue.reasoning,
        "few_shots": list(dialogue.exemplars),
        "notes": list(dialogue.notes),
        **made,
    }


def chats(dialogue: Dialogue) -> Iterator[Row]:
    """Two `messages` rows of a dialogue, one with each speaker as the assistant."""
    systems = {speaker: _scene(dialogue, side) for side, speaker in enumerate(sorted(dialogue.speakers))}
    yield from sides(dialogue, dialogue.turns, systems)


def summaries(dialogue: Dialogue) -> Iterator[Row]:
    """The `summarization` row of a dialogue."""
    yield {
        "id": dialogue.id,
        "dialogue": dialogue.text(),
        "summary": dialogue.summary,
        "topic": dialogue.subtopic or dialogue.topic,
    }


def _check(dialogue: Dialogue) -> None:
    if dialogue.summary is None:
        raise BuildError(f"dialogue {dialogue.id} has no summary: the run that wrote it did not finish its round")


def _personas(dialogue: Dialogue) -> tuple[str | None, str | None]:
    """Two personas, or none. Raises BuildError for anything else, and for more or fewer than two speakers."""
    told = [" ".join(persona.traits) for persona in dialogue.personas]
    if len(told) not in (0, 2) or len(dialogue.speakers) != 2:
        raise BuildError(
            f"dialogue {dialogue.id}: expected two speakers, with two personas or none; it has {len(told)} personas "
            f"and the speakers {', '.join(dialogue.speakers)}"
        )
    return (told[0], told[1]) if told else (None, None)


def _scene(dialogue: Dialogue, side: int) -> str:
    """The system message of the first (0) or second (1) speaker's side."""
    people = _personas(dialogue)
    scene = f"You are in a conversation on {dialogue.subtopic or dialogue.topic}."
    if dialogue.profiles:
        scene += f" You are this person: {people[side]}"
    elif people[side] is not None:
        scene += f" The two who talk are these: {people[0]} {people[1]}"
    shaped = [f"- {name}: {value}" for name, value in (dialogue.characteristics or {}).items() if name != "topic"]
    return scene + ("\n" + "\n".join(shaped) if shaped else "")


class Diasynth(DialogueBuilder):
    """Dialogues on many topics, each with the reasoning behind it and a summary."""

    dataset = "diasynth"
    pretty_name = "DiaSynth by Parley"
    license = "cc-by-4.0"
    license_reason = (
        "The prompts, topics' material and examples that come with Parley were written for it, so that no other "
        "dataset's licence reaches into these texts."
    )
    task_categories = ("text-generation", "summarization")
    tags = ("dialogue-summarization", "open-domain")
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and the type are those of `datasets`
        DialogueConfig(
            name="default",
            version="1.0.0",
            columns=DEFAULT,
            rows=dialogues,
            description="One row a dialogue: what it is about, who talks, what shaped it, the turns, the summary, and "
            "where they come from.",
        ),
        DialogueConfig(
            name="messages",
            version="1.0.0",
            columns=CHAT,
            rows=chats,
            description="Chat messages as TRL's SFTTrainer takes them. Each dialogue gives two rows, one with each "
            "speaker as the assistant. The first message after the system message is always the user's; where the "
            "assistant's side had opened the dialogue, the opening line is told in the system message instead. The "
            "last message may be either side's.",
        ),
        DialogueConfig(
            name="summarization",
            version="1.0.0",
            columns=SUMMED_UP,
            rows=summaries,
            description="Dialogue and summary, under the names that DialogSum gives its columns.",
        ),
    ]
