"""Plans: who speaks, turn by turn, and with which intents; read from files, or given by roles that take turns.

A file is ours (JSON: a list of plans, each a list of labels such as "FD_NF" or of objects with role and intents), or
MSDialog-Intent.json (an object by dialogue id with utterances, actor_type and tags), which its authors give out on
request. Labels of a combination are sorted, so that FD_NF and NF_FD are one.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from synthesis.dialogue import Turn
from synthesis.errors import UserError
from synthesis.intents.labels import AGENT, ROLES, USER, check, contradiction
from synthesis.storage import parse, read_text

log = logging.getLogger(__name__)

Rules = Literal["rules", "free"]
"""Whether roles are kept to their intents (`labels.contradiction`), or may say whatever a file has them say."""


class Step(NamedTuple):
    """One turn to come. `intents`: codes, sorted."""

    role: str
    intents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The turns of a dialogue to come; the first is the user's and has OQ."""

    steps: tuple[Step, ...]

    @staticmethod
    def of(turns: Iterable[Turn]) -> Plan:
        """The plan that a dialogue followed."""
        return Plan(tuple(Step(turn.speaker, turn.intents) for turn in turns))

    def rows(self) -> list[dict[str, Any]]:
        """The plan as JSON, which `made` reads back."""
        return [{"role": step.role, "intents": list(step.intents)} for step in self.steps]

    def alternating(self) -> Plan:
        """The same intents, spoken by user and agent in turns whoever the roles were."""
        return Plan(tuple(Step(role, step.intents) for role, step in zip(itertools.cycle(ROLES), self.steps)))


def made(rows: Any, where: str, rules: Rules = "rules") -> Plan:
    """A plan from JSON: a list of label strings ("FD_NF", "FD+NF", "FD NF") or objects with role and intents.

    Strings take the role that their labels ask for, else the one whose turn it is. Raises UserError naming the place
    for another form, an unknown label or role, fewer than two turns, a beginning that is no question of the user's,
    and, under "rules", for a role with intents that are not for it.
    """
    if not isinstance(rows, list) or len(rows) < 2:
        raise UserError(f"{where}: expected a list of at least two turns, a question and its answer, got {rows!r:.80}")
    steps: list[Step] = []
    for number, row in enumerate(rows, 1):
        at = f"{where}, turn {number}"
        labels = check(_labels(row["intents"] if isinstance(row, dict) and "intents" in row else row, at), at)
        steps.append(Step(_role(row, labels, steps, at), labels))
        wrong = contradiction(*steps[-1]) if rules == "rules" else None
        if wrong:
            raise UserError(f"{at}: {wrong}; change its role or its intents, or take --roles free")
    return _opened(Plan(tuple(steps)), where)


def _labels(row: Any, where: str) -> list[str]:
    """Codes of a turn, as given."""
    if isinstance(row, str):
        return [label for label in re.split(r"[\s_+,]+", row) if label]
    if isinstance(row, list) and all(isinstance(label, str) for label in row):
        return row
    raise UserError(
        f'{where}: expected labels such as "FD_NF" or an object with role and intents, got {str(row)[:80]!r}'
    )


def _role(row: Any, labels: tuple[str, ...], before: Sequence[Step], where: str) -> str:
    """The role that is named, else the only one that has such intents, else the next."""
    if isinstance(row, dict) and "role" in row:
        return _named(row["role"], where)
    asked = [role for role in ROLES if contradiction(role, labels) is None]
    if len(asked) == 1:
        return asked[0]
    return _other(before[-1].role) if before else USER


def _named(role: Any, where: str) -> str:
    found = str(role).strip().capitalize()
    if found not in ROLES:
        raise UserError(f"{where}: role {role!r}; the roles are {', '.join(ROLES)}")
    return found


def _other(role: str) -> str:
    return AGENT if role == USER else USER


def _opened(plan: Plan, where: str) -> Plan:
    role, intents = plan.steps[0]
    if role != USER or "OQ" not in intents:
        raise UserError(
            f"{where}: begins with {role} {'+'.join(intents)}; a plan begins with the original question, User OQ"
        )
    return plan


# ---- files ----------------------------------------------------------------------------------------------------------


def load(path: Path, high: int, rules: Rules = "rules") -> list[Plan]:
    """The plans of a file, ours or MSDialog-Intent's, of at most `high` turns each.

    A plan of ours that is longer is refused; MSDialog's dialogues are cut to their first `high` turns, and those that
    do not begin with a question, end after it, have a turn without labels or break the rules are left out, which is
    told. Raises UserError.
    """
    if path.suffix.lower() == ".tsv":
        raise UserError(_release(path, "tab-separated lines, as MSDialog-ResponseRank has"))
    content = parse(read_text(path, "sequences"), str(path))
    if isinstance(content, dict):
        return _of_msdialog(content, path, high, rules)
    if not isinstance(content, list) or not content:
        raise UserError(
            f"sequences {path}: expected a list of plans, or MSDialog-Intent's object, got {content!r:.80}"
        )
    plans = [made(rows, f"{path}[{number}]", rules) for number, rows in enumerate(content)]
    for number, plan in enumerate(plans):
        if len(plan.steps) > high:
            raise UserError(
                f"{path}[{number}]: {len(plan.steps)} turns, more than --high {high}; shorten it or raise it"
            )
    return plans


def _release(path: Path, found: str) -> str:
    return (
        f"sequences {path}: {found}; expected MSDialog-Intent.json, of which every dialogue has utterances, each with "
        'actor_type "User" or "Agent" and tags such as "FD NF"'
    )


def _of_msdialog(content: dict[str, Any], path: Path, high: int, rules: Rules) -> list[Plan]:
    plans: list[Plan] = []
    left_out: dict[str, str] = {}
    for id_, dialogue in content.items():
        rows = _utterances(dialogue, id_, path)
        try:
            plans.append(made(rows[:high], f"{path}, dialogue {id_}", rules))
        except UserError as error:
            left_out[id_] = str(error)
    if left_out:
        log.info(
            "sequences: %d of %d left out, such as: %s", len(left_out), len(content), next(iter(left_out.values()))
        )
    if not plans:
        raise UserError(
            f"sequences {path}: no dialogue of it can be a plan; {next(iter(left_out.values()), 'it is empty')}"
        )
    return plans


def _utterances(dialogue: Any, id_: str, path: Path) -> list[dict[str, Any]]:
    """Roles and labels of a dialogue. Raises UserError for a file of another release, with what it has instead."""
    utterances = dialogue.get("utterances") if isinstance(dialogue, dict) else None
    if not isinstance(utterances, list):
        raise UserError(_release(path, f"dialogue {id_} has no utterances but {str(dialogue)[:80]!r}"))
    rows = []
    for number, utterance in enumerate(utterances, 1):
        if not isinstance(utterance, dict) or not {"actor_type", "tags"} <= set(utterance):
            keys = sorted(utterance) if isinstance(utterance, dict) else utterance
            hint = ", as in MSDialog-Complete" if isinstance(utterance, dict) and "tags" not in utterance else ""
            raise UserError(_release(path, f"utterance {number} of dialogue {id_} has {keys}{hint}"))
        where = f"{path}, dialogue {id_}, utterance {number}"
        labels = _labels(utterance["tags"], where)  # none: nobody labelled it, and its dialogue is no plan
        intents = told(check(labels, where)) if labels else []
        rows.append({"role": _named(utterance["actor_type"], where), "intents": intents})
    return rows


def told(labels: Sequence[str]) -> list[str]:
    """`labels` without GG, O and JK, in this order, where they stand beside another: so the field counts them."""
    left = list(labels)
    for label in ("GG", "O", "JK"):
        if label in left and len(left) > 1:
            left.remove(label)
    return left
