"""LUAS as a dataset: dialogues with acts, states and lookups, chat messages, what a state tracker learns from."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from datasets import List, Value

from builders import provenance, states
from builders.dialogues import RECIPES, Column, DialogueBuilder, DialogueConfig, Row, merged, shipped
from builders.state_forms import multiwoz, multiwoz_acts, services, sgd
from synthesis.dialogue import Dialogue, Lookup, Turn, messages
from synthesis.errors import BuildError, UserError
from synthesis.storage import dump
from synthesis.task_oriented import flat, goals
from synthesis.task_oriented.acts import Act, parse
from synthesis.task_oriented.corpora import reading
from synthesis.task_oriented.ontology import read
from synthesis.task_oriented.state import SYSTEM, USER, first_values, tracked
from synthesis.task_oriented.state_form import change, line, write

OWN = RECIPES / "luas_ontology"
"""The ontology that comes with Parley."""

TEXT, TEXTS, WHOLE = Value("string"), List(Value("string")), Value("int32")
PAIRS = List({"slot": TEXT, "value": TEXT})
VALUES = List({"slot": TEXT, "values": TEXTS})
MESSAGES = List({"role": TEXT, "content": TEXT})

DEFAULT = {
    "id": Column(TEXT, "the dialogue; the same in every config"),
    "turns": Column(
        List(
            {
                "speaker": TEXT,
                "text": TEXT,
                "domain": TEXT,
                "acts": TEXTS,
                "state": PAIRS,
                "lookup": {"domain": TEXT, "constraints": PAIRS, "count": WHOLE, "rows": List(PAIRS)},
            }
        ),
        f"the dialogue, turn by turn. `speaker`: {USER} or {SYSTEM}; `domain`: what the turn is about; `acts`: "
        "dialogue acts, such as `hotel-inform(area=north)`; `state`: of a turn of the user, all that the user wants "
        "by then, `domain-slot` and value, further values that are right too after a `|`, null for the system; "
        "`lookup`: what was looked up before the turn, how many rows there were, and those that the system was shown; "
        "else null",
    ),
    "domains": Column(TEXTS, "the domains that come up, in that order"),
    "goal": Column(
        List({"domain": TEXT, "inform": PAIRS, "book": PAIRS, "request": TEXTS, "fail": PAIRS}),
        "what the user set out with, domain by domain: `inform` narrows the search, `book` is what a booking needs, "
        "`request` is to be asked for, `fail` is what is asked for first and leads to nothing",
    ),
    "persona": Column(TEXT, "who the user is, in words; null where nobody said"),
    "notes": Column(TEXTS, "what to know of this dialogue"),
    **provenance.COLUMNS,
}

CHAT = {
    "id": DEFAULT["id"],
    "messages": Column(
        MESSAGES,
        "a system message, then user and assistant in turn; what the assistant was shown from its database, and the "
        "reference number of a booking, stand at the end of the user's message before, in brackets",
    ),
}

DST = {
    "id": DEFAULT["id"],
    "turn": Column(WHOLE, "number of the user's turn in its dialogue, from 0, the system's counted too"),
    "domain": Column(TEXT, "what the turn is about"),
    "history": Column(TEXTS, "everything said up to this turn and with it, oldest first, each as `Speaker: text`"),
    "target": Column(TEXT, "the state after the turn as JSON, domain to slot to value, the first of several values"),
    "change": Column(TEXT, "the same as a change of the state before, null where a slot goes"),
    "state": Column(PAIRS, "the state after the turn, with all values"),
}

SPAN = {"slot": TEXT, "value": TEXT, "start": WHOLE, "exclusive_end": WHOLE}
STATE = {"active_intent": TEXT, "requested_slots": TEXTS, "slot_values": VALUES}
MULTIWOZ = {
    "dialogue_id": Column(TEXT, "the dialogue"),
    "services": Column(TEXTS, "its domains"),
    "turns": Column(
        List(
            {
                **dict.fromkeys(("turn_id", "speaker", "utterance"), TEXT),
                "frames": List({"service": TEXT, "slots": List(SPAN), "state": STATE}),
                "dialog_act": List({"act": TEXT, "slots": PAIRS}),
            }
        ),
        "turns with a frame for each domain: `slots` are places in the utterance, `state` is null for the system; "
        "`dialog_act` is the turn's entry of dialog_acts.json",
    ),
}

ACTION = {"act": TEXT, "slot": TEXT, "values": TEXTS, "canonical_values": TEXTS}
SGD = {
    "dialogue_id": Column(TEXT, "the dialogue"),
    "services": Column(TEXTS, "its domains"),
    "turns": Column(
        List(
            {
                **dict.fromkeys(("speaker", "utterance"), TEXT),
                "frames": List(
                    {
                        "service": TEXT,
                        "slots": List({"slot": TEXT, "start": WHOLE, "exclusive_end": WHOLE}),
                        "actions": List(ACTION),
                        "state": STATE,
                        "service_call": {"method": TEXT, "parameters": PAIRS},
                        "service_results": List(PAIRS),
                    }
                ),
            }
        ),
        "turns with a frame for each domain; slots are named without it",
    ),
}


# ---- rows -----------------------------------------------------------------------------------------------------------


def dialogues(dialogue: Dialogue) -> Iterator[Row]:
    """The `default` row of a dialogue."""
    made, goal = provenance.cells(dialogue), _goal(dialogue)
    yield {
        "id": dialogue.id,
        "turns": [flat.turn_cells(turn) for turn in dialogue.turns],
        "domains": services(dialogue),
        "goal": flat.goal_cells(goal),
        "persona": goal.persona,
        "notes": list(dialogue.notes),
        **made,
    }


def chats(dialogue: Dialogue) -> Iterator[Row]:
    """The `messages` row of a dialogue."""
    domains, told = services(dialogue), [*dialogue.turns]
    for number, turn in enumerate(told[1:], 1):
        shown = [_shown(turn.lookup)] if turn.lookup else []
        shown += [f"[{act.domain}: booked, {act.slot} {act.value}]" for act in map(parse, turn.acts) if _given(act)]
        if shown and told[number - 1].speaker == USER:
            told[number - 1] = Turn(USER, "\n\n".join([told[number - 1].text, *shown]))
    yield {"id": dialogue.id, "messages": messages(merged(told), SYSTEM, _task(domains))}


def tracking(dialogue: Dialogue) -> Iterator[Row]:
    """The `dst` rows of a dialogue, one a turn of the user."""
    services(dialogue)  # refuses what is no dialogue of this kind
    before: Mapping[str, str] = {}
    for number, state in tracked(dialogue):
        yield {
            "id": dialogue.id,
            "turn": number,
            "domain": dialogue.turns[number].domain,
            "history": [line(turn) for turn in dialogue.turns[: number + 1]],
            "target": write(first_values(state), _order()),
            "change": write(change(before, state), _order()),
            "state": flat.pairs(state),
        }
        before = state


def multiwoz_rows(dialogue: Dialogue) -> Iterator[Row]:
    """The `multiwoz` row of a dialogue: 2.2's form, maps as lists of pairs."""
    row, acts = multiwoz(dialogue), multiwoz_acts(dialogue)
    turns = [
        {
            **{key: turn[key] for key in ("turn_id", "speaker", "utterance")},
            "frames": [
                {"service": frame["service"], "slots": frame["slots"], "state": _state(frame)}
                for frame in turn["frames"]
            ],
            "dialog_act": [
                {"act": name, "slots": [{"slot": slot, "value": value} for slot, value in slots]}
                for name, slots in acts[turn["turn_id"]]["dialog_act"].items()
            ],
        }
        for turn in row["turns"]
    ]
    yield row | {"turns": turns}


def sgd_rows(dialogue: Dialogue) -> Iterator[Row]:
    """The `sgd` row of a dialogue: SGD's form, maps as lists of pairs."""
    row = sgd(dialogue)
    turns = [turn | {"frames": [_sgd_frame(frame) for frame in turn["frames"]]} for turn in row["turns"]]
    yield row | {"turns": turns}


def _sgd_frame(frame: Row) -> Row:
    call, results = frame.get("service_call"), frame.get("service_results")
    return {
        **{key: frame[key] for key in ("service", "slots", "actions")},
        "state": _state(frame),
        "service_call": call and {"method": call["method"], "parameters": flat.pairs(call["parameters"])},
        "service_results": None if results is None else [flat.pairs(result) for result in results],
    }


def _state(frame: Row) -> Row | None:
    """The state of a frame with its map as a list; None for a turn of the system."""
    state = frame.get("state")
    if state is None:
        return None
    values = [{"slot": slot, "values": values} for slot, values in state["slot_values"].items()]
    return {**state, "slot_values": values}


@functools.cache
def _order() -> tuple[str, ...]:
    """Slots in the order of the ontology that comes with Parley; those of another one come after them, by name."""
    return tuple(read(OWN).slots)


def _goal(dialogue: Dialogue) -> goals.Goal:
    try:
        return goals.from_json(dialogue.goal, f"dialogue {dialogue.id}, goal")
    except UserError as error:
        raise BuildError(f"{error}: it is no dialogue about a task") from error


def _task(domains: Iterable[str]) -> str:
    return (
        f"You help a visitor to find and book what they want: {', '.join(domains)}. What your database has stands in "
        "brackets after a message; name nothing that it does not have."
    )


def _given(act: Act) -> bool:
    """Whether a booking gave what no row has, such as its reference number."""
    return act.act == "booked" and act.slot == "ref"


def _shown(lookup: Lookup) -> str:
    """What a lookup gave, in brackets."""
    rows = [", ".join(f"{slot} {value}" for slot, value in row.items()) for row in lookup.rows]
    return f"[{lookup.domain}: {lookup.count} found{''.join(f'; {row}' for row in rows)}]"


def family(dialogue: Dialogue) -> str:
    """What never lies in two splits: a goal, of which several dialogues may come; whoever has it."""
    return dump((dialogue.goal or {}).get("domains", dialogue.id))


# ---- the dataset ----------------------------------------------------------------------------------------------------


class Luas(DialogueBuilder):
    """A user with a goal talks to a system with a database; every turn of the user has the state that it leads to."""

    dataset = "luas"
    pretty_name = "LUAS by Parley"
    license = "cc-by-4.0"
    license_reason = (
        "The town, its rows, the phrases and the prompts that come with Parley were written for it, so that no other "
        "text's licence reaches into this dataset."
    )
    task_categories = ("text-generation",)
    task_ids = ("dialogue-modeling", "dialogue-generation")
    tags = ("dialogue-state-tracking", "task-oriented", "belief-state", "dialogue-acts")
    BUILDER_CONFIGS = [  # noqa: RUF012 - the name and the type are those of `datasets`
        DialogueConfig(
            name="default",
            version="1.0.0",
            columns=DEFAULT,
            rows=dialogues,
            description="One row a dialogue: the turns with acts, states and lookups, the goal, and where all of it "
            "comes from.",
        ),
        DialogueConfig(
            name="messages",
            version="1.0.0",
            columns=CHAT,
            rows=chats,
            description="Chat messages as TRL's SFTTrainer takes them: the assistant is the system. What it was shown "
            "from its database stands in brackets at the end of the message before, for without it an assistant would "
            "learn to invent names.",
        ),
        DialogueConfig(
            name="dst",
            version="1.0.0",
            columns=DST,
            rows=tracking,
            description="One row a turn of the user, for a tracker of dialogue states: what was said so far, and the "
            "state as text, whole (`target`) or as a change (`change`). Slots stand in the order of Parley's own "
            "schema, those that it lacks after them by name.",
        ),
        DialogueConfig(
            name="multiwoz",
            version="1.0.0",
            columns=MULTIWOZ,
            rows=multiwoz_rows,
            description="A row is a dialogue of MultiWOZ 2.2, but that maps are lists of pairs; `python -m builders "
            "multiwoz` writes the JSON files themselves. A frame stands for each domain that has come up; a span is "
            "where a value stands in the words literally.",
        ),
        DialogueConfig(
            name="sgd",
            version="1.0.0",
            columns=SGD,
            rows=sgd_rows,
            description="A row is a dialogue of the schema-guided dialogue dataset (SGD), likewise; `python -m "
            "builders sgd` writes the JSON files. `service_results` are the rows that the system was shown, which may "
            "be fewer than were found.",
        ),
    ]

    def licensed(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        """`license` for the town that comes with Parley; what is others' has a licence of its own."""
        given = [name for name in ("ontology", "phrases", "personas") if fields.get(name) is not None]
        if set(given) <= set(shipped(fields)) and fields.get("goals") != "corpus":
            return self.license, self.license_reason
        return "unknown", (
            "An ontology with its database, phrases, attributes of users, or dialogues whose goals were taken did not "
            "come with Parley; what they say stands in this dataset, and whoever built it named no licence."
        )

    def group(self, dialogue: Dialogue) -> str:
        """The goal."""
        return family(dialogue)

    @classmethod
    def beside(cls, source: str) -> Iterable[Dialogue]:
        """The dialogues of a corpus with states, in any form that `corpora.reading` knows. Raises UserError."""
        return reading.read(source)

    def particulars(
        self, dialogues: Iterable[Dialogue], reference: Iterable[Dialogue] | None = None
    ) -> Mapping[str, Any]:
        """How often slots, acts, domains and lookups occur."""
        return states.counted(dialogues, reference)
