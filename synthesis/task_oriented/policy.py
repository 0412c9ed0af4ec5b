"""What a simulated user and agent are likely to do: chances and limits of the state machine, as settings.

Numbers marked "code" are those of the released code of LUAS (arXiv 2405.13037), the rest is choice: its tables of what
users tell at which exchange are not published.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthesis.errors import UserError
from synthesis.task_oriented.ontology import Domain


@dataclass(frozen=True, slots=True)
class Policy:
    """Chances lie in [0, 1]. An exchange is a turn of the user and the agent's answer; each domain counts its own."""

    cap: int = 8  # code: exchanges about one domain
    cap_hotel: int = 12  # code: of a domain whose name begins with hotel
    opener: float = 0.1  # code: a domain begins without any slot
    everything: int = 5  # code: from this exchange on, from 0, the user tells whatever is left
    early_bookings: tuple[float, ...] = (0.5, 0.4, 0.1)  # code: 1, 2 or 3 booking slots at once before that
    times: float = 1.75  # code: factor on the chance of a time
    second_update: float = 0.2  # code: two changes of mind rather than one
    tries: int = 10  # code: other values that a change of mind tries
    question: float = 0.5  # choice (code: "0 or 1"): a turn that asks for properties
    question_unbooked: float = 0.8  # code (attraction): one more, where there is nothing to book
    refuse: float = 0.05  # code: the booking comes to nothing
    decline_unbooked: float = 0.1  # code (attraction): the user wants no address either, where nothing is booked
    coreference: float = 0.2  # code: a value of an earlier domain is referred to; always where nothing is chosen
    recommend_early: float = 0.1  # code: the user asks for a recommendation while telling the last slot
    recommend_unasked: float = 0.5  # choice: the agent recommends one of many without being asked
    greet: float = 0.3  # choice: the first turn greets
    details: int = 2  # choice: at most so many properties go with an offer
    many: int = 3  # code: from more results than these on, the agent asks back
    shown: int = 5  # code: rows that the agent is shown of many

    def check(self) -> None:
        """Raises UserError for a chance outside [0, 1] or a limit that lets nothing happen."""
        chances = {name: getattr(self, name) for name in CHANCES} | {
            f"early_bookings[{at}]": chance for at, chance in enumerate(self.early_bookings)
        }
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise UserError(f"{name}: got {chance}, a chance; give a number from 0 to 1")
        if not sum(self.early_bookings) > 0:
            raise UserError(f"early_bookings: got {self.early_bookings}; give 1, 2, ... at once some chance above 0")
        for name in ("cap", "cap_hotel", "shown", "tries"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: got {getattr(self, name)}; give 1 or more")
        for name in ("times", "details", "many", "everything"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: got {getattr(self, name)}; give 0 or more")

    def cap_of(self, domain: Domain) -> int:
        """Exchanges that a talk about `domain` may have."""
        return self.cap_hotel if domain.name.lower().startswith("hotel") else self.cap


CHANCES = (
    "opener",
    "second_update",
    "question",
    "question_unbooked",
    "refuse",
    "decline_unbooked",
    "coreference",
    "recommend_early",
    "recommend_unasked",
    "greet",
)
