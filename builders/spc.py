"""Synthetic-Persona-Chat as a dataset: conversations, chat messages for each side, the critics' preferences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datasets import List, Value

from builders import provenance
from builders.dialogues import Column, DialogueBuilder, DialogueConfig, Row, merged, sides
from synthesis.dialogue import Dialogue, Persona, transcript
from synthesis.errors import BuildError

TEXT, TEXTS = Value("string"), List(Value("string"))
MESSAGES = List({"role": Value("string"), "content": Value("string")})

DEFAULT = {
    "id": Column(TEXT, "the pair of profiles; the same in every config"),
    "user_1_persona": Column(TEXTS, "attributes of User 1, a first-person sentence each"),
    "user_2_persona": Column(TEXTS, "attributes of User 2"),
    "user_1_name": Column(TEXT, "given name of User 1; null where none was assigned"),
    "user_2_name": Column(TEXT, "given name of User 2"),
    "setting": Column(TEXT, "where and how the two meet; null where none was given"),
    "turns": Column(List({"speaker": TEXT, "text": TEXT}), "the conversation, turn by turn"),
    "conversation": Column(TEXT, "the same as one text, `speaker: utterance` a line"),
    "notes": Column(TEXTS, "`incumbent`: the last round found nothing better than what was there"),
    **provenance.COLUMNS,
}

CHAT = {
    "id": DEFAULT["id"],
    "assistant": Column(TEXT, "the user whose side the assistant speaks"),
    "messages": Column(MESSAGES, "a system message with that user's profile, then user and assistant in turn"),
}

PREFERENCE = {
    "id": DEFAULT["id"],
    "prompt": Column(MESSAGES, "one user message that asks for a conversation of the two profiles"),
    "chosen": Column(MESSAGES, "one assistant message: the conversation that won"),
    "rejected": Column(MESSAGES, "one assistant message: a candidate for the same pair that did not"),
    "reason": Column(
        TEXT,
        "`outvoted` by the winner; `incumbent`: winner of the round before, beaten now; else the "
        "critic or filter that dropped it, and why",
    ),
    "votes": Column(Value("float64"), "what the rejected one got of the ballots, ties half"),
    "ballots": Column(Value("int32"), "ballots cast: one an expert, 1 by likelihood, 0 where dropped before any vote"),
}


def conversations(dialogue: Dialogue) -> Iterator[Row]:
    """The `default` row of a dialogue."""
    first, second = _pair(dialogue)
    yield {
        "id": dialogue.id,
        "user_1_persona": list(first.traits),
        "user_2_persona": list(second.traits),
        "user_1_name": first.name,
        "user_2_name": second.name,
        "setting": dialogue.topic,
        "turns": [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns],
        "conversation": dialogue.text(),
        "notes": list(dialogue.notes),
        **provenance.cells(dialogue),
    }


def chats(dialogue: Dialogue) -> Iterator[Row]:
    """Two `messages` rows of a dialogue, one with each user as the assistant."""
    pair = zip(("User 1", "User 2"), _pair(dialogue), strict=True)
    systems = {speaker: _profile(persona, dialogue.topic) for speaker, persona in pair}
    yield from sides(dialogue, merged(dialogue.turns), systems)


def preferences(dialogue: Dialogue) -> Iterator[Row]:
    """A `preference` row for each readable loser that differs from the winner."""
    for rejected in dialogue.rejected:
        if rejected.turns and rejected.turns != dialogue.turns:
            yield {
                "id": dialogue.id,
                "prompt": [{"role": "user", "content": _order(dialogue)}],
                "chosen": [{"role": "assistant", "content": dialogue.text()}],
                "rejected": [{"role": "assistant", "content": transcript(rejected.turns)}],
                "reason": rejected.reason,
                "votes": rejected.votes,
                "ballots": rejected.ballots,
            }


def _pair(dialogue: Dialogue) -> tuple[Persona, Persona]:
    if len(dialogue.personas) != 2 or not {"User 1", "User 2"}.issuperset(dialogue.speakers):
        raise BuildError(
            f"dialogue {dialogue.id} is no conversation of User 1 and User 2 with a profile each: it has "
            f"{len(dialogue.personas)} profiles and the speakers {', '.join(dialogue.speakers)}"
        )
    return dialogue.personas[0], dialogue.personas[1]


def _profile(persona: Persona, setting: str | None) -> str:
    """The system message of the side that `persona` describes."""
    name = f"You are {persona.name}, in" if persona.name else "You are in"
    where = f"\n\nThe setting: {setting}" if setting else ""
    return f"{name} a casual conversation. What is true of you:\n{_bullets(persona.traits)}{where}"


def _order(dialogue: Dialogue) -> str:
    """The request for a conversation that a generator is trained on."""
    profiles = [
        f"User {number}{f' ({persona.name})' if persona.name else ''}:\n{_bullets(persona.traits)}"
        for number, persona in enumerate(_pair(dialogue), 1)
    ]
    setting = [f"Setting: {dialogue.topic}"] if dialogue.topic else []
    opening = (
        'Write the conversation that these two people have. Open every line with "User 1:" or "User 2:", '
        "and let the profiles show without reciting them."
    )
    return "\n\n".join([opening, *profiles, *setting])


def _bullets(traits: Iterable[str]) -> str:
    return "\n".join(f"- {trait}" for trait in traits)


class Spc(DialogueBuilder):
    """Conversations of two users who stay true to their profiles."""

    dataset = "synthetic-persona-chat"
    pretty_name = "Synthetic Persona Chat"
    license = "cc-by-4.0"
    license_reason = (
        "The prompts, examples and seed attributes that come with Parley were written for it, so that no other "
        "dataset's licence reaches into these texts; CC BY 4.0 is also what the published Synthetic-Persona-Chat "
        "carries, so that the two may be mixed."
    )
    tags = ("persona-chat", "open-domain", "preference")
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and the type are those of `datasets`
        DialogueConfig(
            name="default",
            version="1.0.0",
            columns=DEFAULT,
            rows=conversations,
            description="One row a conversation: both profiles, the turns, and where they come from.",
        ),
        DialogueConfig(
            name="messages",
            version="1.0.0",
            columns=CHAT,
            rows=chats,
            description="Chat messages as TRL's SFTTrainer takes them. Each conversation gives two rows, one with "
            "each user as the assistant. The first message after the system message is always the "
            "user's; where the assistant's side had opened the conversation, the opening line is told "
            "in the system message instead. Runs of one speaker are joined into one message; the last "
            "message may be either side's.",
        ),
        DialogueConfig(
            name="preference",
            version="1.0.0",
            columns=PREFERENCE,
            rows=preferences,
            description="Pairs for a conversation writer in the conversational form of TRL's DPOTrainer: the winner "
            "of a pair of profiles against each candidate that lost to it or was dropped by a critic.",
        ),
    ]
