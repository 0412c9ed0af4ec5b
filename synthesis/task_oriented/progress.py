"""How far a simulated conversation has come: in each domain, and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from synthesis.errors import UserError
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import Wish
from synthesis.task_oriented.ontology import Domain, Ontology
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.state import State, slot_name, split
from synthesis.task_oriented.tables import Row


@dataclass(slots=True)
class Progress:
    """The talk about one domain; slots without their domain.

    What the user has: `wanted`, slots of the search to values, those that lead to nothing first; `meant`, the values
    to say once they have; `needed`, slots of the booking; `requests`, properties to ask for; `questions`, turns that
    ask for properties, and `updates`, changes of mind that are left; `declines`: wants nothing told of what is taken.
    `refused`: the booking comes to nothing.

    What has happened: `exchange`, from 0; `revealed`, slots the user was let tell; `asked`, those the agent has just
    asked for, `inquired` ever; `answered`, properties asked for; `rows`, what the last search found, None before it;
    `offered`, a row; `recommended`: as one of many; `selected`: the user took it or asked about it; `taken`: took it.
    """

    domain: Domain
    wanted: dict[str, str]
    meant: dict[str, str]
    needed: dict[str, str]
    requests: tuple[str, ...]
    questions: int
    updates: int
    refused: bool
    declines: bool
    planned: dict[str, str]
    exchange: int = -1
    revealed: set[str] = field(default_factory=set)
    asked: tuple[str, ...] = ()
    inquired: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    constraints: dict[str, str] = field(default_factory=dict)
    rows: Sequence[Row] | None = None
    offered: Row | None = None
    recommended: bool = False
    selected: bool = False
    taken: bool = False
    done: bool = False

    @property
    def books(self) -> bool:
        """Whether the user wants something booked."""
        return self.domain.books and (bool(self.needed) or not self.domain.inventory)

    @property
    def empty(self) -> bool:
        """Whether the last search found nothing. Where nothing is chosen, there is always something to be had."""
        return self.domain.inventory and self.rows is not None and not self.rows

    @property
    def name(self) -> str:
        """Of what is offered; "" where nothing is or it has none."""
        return (self.offered or {}).get(self.domain.named, "")

    def untold(self, values: dict[str, str], state: State) -> dict[str, str]:
        """Of `wanted` or `needed`, what the state does not have."""
        return {slot: value for slot, value in values.items() if slot_name(self.domain.name, slot) not in state}

    def found(self, constraints: dict[str, str], rows: Sequence[Row]) -> None:
        """Takes what a search found. An offer that it does not have is none any more."""
        self.constraints, self.rows = constraints, rows
        if self.offered is not None and self.offered not in rows:
            self.drop()

    def offer(self, row: Row, recommended: bool) -> None:
        """The agent offers `row`."""
        if row != self.offered:
            self.drop()
            self.answered = set()
        self.offered, self.recommended = row, recommended

    def drop(self) -> None:
        """Nothing is offered any more."""
        self.offered, self.recommended, self.selected, self.taken = None, False, False, False


@dataclass(slots=True)
class Scene:
    """A conversation as both sides see it: `talks` in the goal's order, `at` the one that goes on, `state` as heard.

    `tracked`: the ontology's `domain-slot` names, in its order. `recommendation`: the user has just asked for one.
    """

    ontology: Ontology
    database: Database
    policy: Policy
    rng: Random
    talks: list[Progress]
    tracked: tuple[str, ...]
    state: State = field(default_factory=dict)
    at: int = -1
    recommendation: bool = False

    @property
    def before(self) -> list[Progress]:
        """The talks before the one that goes on."""
        return self.talks[: max(self.at, 0)]

    @property
    def last(self) -> bool:
        """Whether no other domain comes after the one that goes on."""
        return self.at + 1 >= len(self.talks)


def begun(wish: Wish, ontology: Ontology, database: Database, policy: Policy, rng: Random) -> Progress:
    """The talk about a wish before it begins.

    Raises UserError for a domain that is not in the ontology or cannot be looked up, for a slot that it does not
    have, and for a value outside a closed list.
    """
    domain = ontology.domain(wish.domain)
    if domain.inventory and domain.name not in database.domains:
        raise UserError(f"goal: nothing can be looked up in {domain.name}; the database has {database.domains}")
    slots = {slot.name: slot for slot in domain.slots}
    for slot in (*wish.inform, *wish.book, *wish.fail):
        if slot not in slots:
            raise UserError(f"goal: {domain.name} has no slot {slot!r}; it has {', '.join(slots)}")
    meant = {slot: _first(slots[slot].legal(wish.inform[slot])) for slot in wish.fail}
    wanted = {slot: _first(slots[slot].legal(value)) for slot, value in (dict(wish.inform) | dict(wish.fail)).items()}
    needed = {slot: _first(slots[slot].legal(value)) for slot, value in wish.book.items()}
    questions = int(rng.random() < policy.question)
    if not domain.books:
        questions += int(rng.random() < policy.question_unbooked)
    return Progress(
        domain,
        wanted,
        meant,
        needed if domain.books else {},
        tuple(wish.request),
        questions=questions if domain.inventory else 0,
        updates=2 if rng.random() < policy.second_update else 1,
        refused=rng.random() < policy.refuse,
        declines=domain.books or rng.random() < policy.decline_unbooked,
        planned=wanted | meant | needed,
    )


def _first(value: str) -> str:
    """The first of values that are all right: a user says one."""
    return (split(value) or (value,))[0]
