"""Values as the schema-guided script compares them (google-research, schema_guided_dst; DSTC8).

MultiWOZ 2.2 names it as its measure, joint over a whole turn and without fuzzy matching. Nothing is normalised:
"dontcare" is a value, and so is every typo. Of a categorical slot only the first gold value is right, of any other
each one; of a prediction the first counts. Slots that are not in the schema are not looked at; those that are, in all
domains, must be absent where gold has none. SGD's frames are only of the services of a turn: we ask for the others to
be absent too.
"""

from __future__ import annotations

from synthesis.task_oriented.state import State, split
from training.tracking.slots import Slots
from training.tracking.verdicts import Verdicts, token_sort_ratio, verdicts


def mwz22_official(gold: State, predicted: State, slots: Slots, fuzzy: bool = False) -> Verdicts:
    """Right or not; with `fuzzy`, as SGD has it, open slots agree by degrees (token_sort_ratio)."""
    known = {*slots.tracked, *slots.other}

    def match(name: str, right: str, said: str) -> float:
        first, values = split(said)[0], split(right)
        if name in slots.categorical:
            return float(first == values[0])
        if fuzzy:
            return max(token_sort_ratio(value, first) for value in values) / 100
        return float(first in values)

    return verdicts(
        {name: value for name, value in gold.items() if name in known},
        {name: value for name, value in predicted.items() if name in known},
        match,
    )
