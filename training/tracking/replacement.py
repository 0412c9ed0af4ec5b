"""One domain's turns exchanged for generated ones: `python -m training.tracking.replacement --domain D ...`.

Section 4.5 of LUAS (arXiv 2405.13037) says what for: how good are generated dialogues of one domain in place of
people's? How it is done is ours. In a real dialogue, exchanges about the domain go, and where the first of them stood
a generated dialogue about this domain alone is put, without its greeting and closing; a real dialogue about nothing
else is a generated one from end to end. States are made anew, turn by turn, out of what each turn that is there now
tells: no slot of the domain comes from a real turn, and what was told about other domains in a turn that went is no
longer known. Names, and values that point to what went, are bound to what was put in (see rebinding.py).
Without --generated the domain goes and nothing is put in, to tell what it is worth at all.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.flag_types import whole
from synthesis.storage import dump, write_json, write_jsonl
from synthesis.task_oriented import ontology
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.corpora.reading import read
from synthesis.task_oriented.state import USER, State, domain_of, slot_name
from synthesis.task_oriented.state_form import changed
from training.command import told
from training.conversations import named
from training.rows import digest
from training.tracking.exchanges import Exchange, alone, core, exchanges
from training.tracking.rebinding import Rebinding


class Pool:
    """Generated dialogues, handed out by chance: each once before any comes again.

    `used`: how often each was handed out, by id.
    """

    def __init__(self, dialogues: Sequence[Dialogue], domain: str, seed: int) -> None:
        self._dialogues = sorted(dialogues, key=lambda each: each.id)
        self._named = {each.id for each in dialogues if slot_name(domain, "name") in _end(each)}
        self._rng = Random(seed)
        self._next: deque[Dialogue] = deque()
        self.used: Counter[str] = Counter()

    def take(self, wants_name: bool) -> Dialogue:
        """The next one; where it is to have a venue's name, the next that has one, if any is left in this round."""
        if not self._next:
            self._next.extend(self._rng.sample(self._dialogues, len(self._dialogues)))
        found = next((each for each in self._next if wants_name and each.id in self._named), self._next[0])
        self._next.remove(found)
        self.used[found.id] += 1
        return found


def _end(dialogue: Dialogue) -> State:
    """The state in the end."""
    return exchanges(dialogue)[-1].after


@dataclass(slots=True)
class Impact:
    """User turns of the real dialogues: all, those that went, those that stay with another text or state.

    `behind`: those that stay as they are, but after a change, so that what a tracker reads of them is another history.
    """

    turns: int = 0
    gone: int = 0
    altered: int = 0
    behind: int = 0

    def to_json(self) -> dict[str, Any]:
        """Counts, and the share of turns that went or are other ones now, without and with those behind a change."""
        changed = self.gone + self.altered
        shares = {"impact": changed / self.turns, "impact_with_history": (changed + self.behind) / self.turns}
        return {"turns": self.turns, "gone": self.gone, "altered": self.altered, "behind": self.behind} | shares


@dataclass(slots=True)
class Replacement:
    """Takes `domain` out of real dialogues and puts generated ones in; counts everything it did.

    Without a `pool` nothing is put in.
    """

    domain: str
    pool: Pool | None
    impact: Impact = field(default_factory=Impact)
    counted: Counter[str] = field(default_factory=Counter)

    def dialogue(self, real: Dialogue) -> Dialogue | None:
        """The dialogue with the domain's exchanges replaced; as it is, where it has nothing of the domain.

        None where it has nothing else and nothing is put in.
        """
        parts = exchanges(real)
        self.impact.turns += sum(part.users for part in parts)
        if not any(self._touched(turn) for turn in real.turns):
            self.counted["real dialogues without the domain, as they were"] += 1
            return real
        gone = [part.about(self.domain) for part in parts]
        if not any(gone):
            self.counted["real dialogues cleaned of the domain's slots and acts alone"] += 1
            return self._made(real, None, self._turns(real, parts, gone, ()))
        if all(out or part.general for part, out in zip(parts, gone, strict=True)):
            return self._whole(real, parts)
        self.counted[f"real dialogues with a segment {'replaced' if self.pool else 'taken out'}"] += 1
        segments = sum(out and not before for out, before in zip(gone, [False, *gone], strict=False))
        self.counted["later segments of the same dialogue, gone"] += segments - 1
        generated = self.pool.take(self._wants_name(real, parts, gone)) if self.pool else None
        put = core(exchanges(generated)) if generated else ()
        return self._made(real, generated, self._turns(real, parts, gone, put))

    def _touched(self, turn: Turn) -> bool:
        slots = [domain_of(name) for name in turn.state or ()]
        return self.domain in (turn.domain, *slots, *(parse(act).domain for act in turn.acts))

    def _whole(self, real: Dialogue, parts: Sequence[Exchange]) -> Dialogue | None:
        self.counted[f"real dialogues {'replaced from end to end' if self.pool else 'left out'}"] += 1
        self.impact.gone += sum(part.users for part in parts)
        if self.pool is None:
            return None
        generated = self.pool.take(False)
        return self._made(real, generated, generated.turns)

    def _wants_name(self, real: Dialogue, parts: Sequence[Exchange], gone: Sequence[bool]) -> bool:
        """Whether anything that stays names the venue that goes."""
        binding = self._binding(real, ())
        stay = [part for part, out in zip(parts, gone, strict=True) if not out]
        return any(binding.means(part.change()) or any(map(binding.names_it, part.texts)) for part in stay)

    def _binding(self, real: Dialogue, put: Sequence[Exchange], counted: Counter[str] | None = None) -> Rebinding:
        states = [turn.state for turn in real.turns if turn.state is not None]
        new = put[-1].after if put else {}
        return Rebinding.of(self.domain, states, new, Counter() if counted is None else counted)

    def _turns(
        self, real: Dialogue, parts: Sequence[Exchange], gone: Sequence[bool], put: Sequence[Exchange]
    ) -> tuple[Turn, ...]:
        """What stays, with states made anew, and what was put in at the first gap."""
        binding = self._binding(real, put, self.counted)
        waiting, made, state, different = list(put), list[Turn](), dict[str, str](), False
        for part, out in zip(parts, gone, strict=True):
            if not out:
                user = " ".join(turn.text for turn in part.turns if turn.speaker == USER)
                state = changed(state, binding.change(part.change(), user))
                turns = [binding.turn(turn, dict(state) if turn.speaker == USER else None) for turn in part.turns]
                made += [self._about(turn, made) for turn in turns]
                self._weighed(part, turns, different)
                continue
            self.impact.gone += part.users
            lost = [name for name, value in part.change().items() if value and domain_of(name) != self.domain]
            self.counted["slots of other domains told in turns that went, lost"] += len(lost)
            different = True
            for each in waiting:
                state = changed(state, each.change())
                made += [replace(turn, state=dict(state)) if turn.speaker == USER else turn for turn in each.turns]
            waiting = []
        return tuple(made)

    def _about(self, turn: Turn, before: Sequence[Turn]) -> Turn:
        """Thanks that were about the domain are about whatever the turn before is about."""
        if turn.domain != self.domain:
            return turn
        return replace(turn, domain=before[-1].domain if before else None)

    def _weighed(self, part: Exchange, turns: Sequence[Turn], different: bool) -> None:
        for old, new in zip(part.turns, turns, strict=True):
            if old.speaker == USER:
                other = (old.text, old.state) != (new.text, new.state)
                self.impact.altered += other
                self.impact.behind += different and not other

    def _made(self, real: Dialogue, generated: Dialogue | None, turns: tuple[Turn, ...]) -> Dialogue:
        with_what = generated.id if generated else "nothing"
        name = f"{real.id}~{self.domain}" + (f"~{generated.id}" if generated else "")
        notes = (*real.notes, f"replaced: {self.domain} by {with_what}")
        return replace(real, id=name, turns=turns, goal=None, notes=notes)


def replaced(
    real: Sequence[Dialogue], generated: Sequence[Dialogue] | None, domain: str, seed: int
) -> tuple[list[Dialogue], dict[str, Any]]:
    """The real dialogues with `domain` replaced, and how many turns that changed and what else was done.

    Where `generated` is None the domain is taken out and nothing put in. Raises UserError where no generated dialogue
    is about this domain alone with something besides greetings, and where no real one has it.
    """
    usable = None if generated is None else _usable(generated, domain)
    work = Replacement(domain, None if usable is None else Pool(usable, domain, seed))
    found = [(each, work.dialogue(each)) for each in real]
    if all(new is old for old, new in found):
        raise UserError(f"--domain {domain}: none of {len(real)} real dialogues has anything about it")
    made = [new for _, new in found if new is not None]
    if not made:
        raise UserError(f"--domain {domain}: all {len(real)} real dialogues are about nothing else; nothing is left")
    if generated is not None and usable is not None and work.pool is not None:
        used = work.pool.used
        single = sum(alone(each, domain) for each in generated)
        work.counted["generated dialogues of other or several domains, not used"] = len(generated) - single
        work.counted["generated dialogues of nothing but greetings, not used"] = single - len(usable)
        work.counted["generated dialogues that nobody needed, not used"] = len(usable) - len(used)
        work.counted["generated dialogues put in"] = len(used)
        work.counted["of these times that one came again"] = used.total() - len(used)
    return made, {**work.impact.to_json(), "counted": +work.counted}


def _usable(generated: Sequence[Dialogue], domain: str) -> list[Dialogue]:
    """Those about this domain alone, with more than greetings. Raises UserError where there is none."""
    usable = [each for each in generated if alone(each, domain) and core(exchanges(each))]
    if not usable:
        raise UserError(
            f"--domain {domain}: none of {len(generated)} generated dialogues is about {domain} and nothing else; "
            "generate some of this domain alone"
        )
    return usable


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.tracking.replacement", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("--real", required=True, metavar="SOURCE", help="dialogues of people: corpus, run folder, file or dataset")
    add("--generated", metavar="SOURCE", help="dialogues that were made, those of the domain alone (default: none)")
    add("--domain", required=True, metavar="D", help="which domain to replace, such as hotel")
    add("--ontology", type=Path, required=True, metavar="DIR", help="folder with schema.json, which has the domain")
    add("--out", type=Path, required=True, metavar="FILE", help="JSONL of dialogues to write")
    add("--seed", type=whole, default=0, metavar="S", help="of which is put where (default: 0)")
    add("--facts", type=Path, metavar="FILE", help="what was done (default: beside --out)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    flags = parser().parse_args(argv)
    domain = ontology.read(flags.ontology).domain(flags.domain).name
    real, generated = read(flags.real), read(flags.generated) if flags.generated else None
    made, facts = replaced(real, generated, domain, flags.seed)
    write_jsonl(flags.out, map(to_json, made))
    about = {"domain": domain, "seed": flags.seed, "real": _source(flags.real, real)}
    about["generated"] = None if generated is None else _source(flags.generated, generated)
    about["sha256"] = digest(dump(to_json(each)) for each in made)
    write_json(flags.facts or flags.out.with_suffix(".facts.json"), about | facts)
    what = "taken out" if generated is None else "replaced"
    print(
        f"{flags.out}: {len(made)} dialogues, {domain} {what}; of {facts['turns']} user turns {facts['gone']} went "
        f"and {facts['altered']} are altered: impact {facts['impact']:.1%}, with other histories "
        f"{facts['impact_with_history']:.1%}"
    )
    print("\n".join(f"  {number} {what}" for what, number in facts["counted"].items()))


def _source(name: str, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    return {"source": named(name), "dialogues": len(dialogues)}


if __name__ == "__main__":
    sys.exit(told(main))
