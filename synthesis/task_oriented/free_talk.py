"""As published: both sides speak freely and mark what they have done; a reader's slots are reconciled by rules.

What a user may say is what the goal has revealed by then. The reader sees all that the user has written; what it
reads is mended by the published rules, and that is the turn's state.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from random import Random
from string import Template

from synthesis.dialogue import Turn, transcript
from synthesis.errors import ReadingError
from synthesis.recipe import Dropped
from synthesis.task_oriented import wording
from synthesis.task_oriented.acts import Act, written
from synthesis.task_oriented.machine import Conversation
from synthesis.task_oriented.phrases import Draw
from synthesis.task_oriented.reconcile import offered, reconciled
from synthesis.task_oriented.setting import Caller, Setting
from synthesis.task_oriented.spoken import slot_words, words_of
from synthesis.task_oriented.state import SYSTEM, USER, State, slot_name
from synthesis.task_oriented.steps import CHAT, ENDS, OPENER, RECOMMEND, REPORT, Step
from synthesis.task_oriented.verbalised import rewritten

LONG = 20
"""Words from which on an agent's message keeps only its first question [code]."""

Words = tuple[str, frozenset[str]]
"""A message, and the marks behind it."""


class FreeTalk:
    """One dialogue on its way. `turns`: so far; `notes`: what was mended or said again."""

    def __init__(
        self, setting: Setting, caller: Caller, domains: tuple[str, ...], persona: str | None, rng: Random
    ) -> None:
        self._setting, self._caller, self._manner = setting, caller, caller.manner
        self._domains, self._persona, self._rng = domains, wording.persona(persona), rng
        self._held: State = {}
        self.turns: list[Turn] = []
        self.notes: list[str] = []

    async def run(self, talk: Conversation) -> None:
        """The conversation to its end. Raises Dropped."""
        while (step := talk.user()) is not None:
            text, marks = await self._again(step, self._user)
            state = self._held = await self._state(text, step)
            self._mended(talk.heard(state, wording.RECOM in marks, wording.END_OF_USER in marks))
            self.turns.append(self._of_user(step, text, marks, state))
            step = talk.agent()
            text, marks = await self._again(step, self._grounded)
            self.turns.append(self._of_agent(step, text))
            self._mended(talk.said(await self._offered(step), self._is_done(step, text, marks)))

    async def _again(self, step: Step, word: Callable[[Step], Awaitable[Words]]) -> Words:
        fault, raw = "", ""
        for _ in range(self._manner.regenerations + 1):
            try:
                return await word(step)
            except ReadingError as error:
                fault, raw = str(error), error.raw
                self.notes.append(f"said again: turn {len(self.turns) + 1}: {fault}")
        said = [*self.turns, Turn(step.speaker, raw)]
        raise Dropped("wording", f"unreadable: {fault} (turn {len(said)})", transcript(said))

    def _mended(self, what: tuple[str, ...]) -> None:
        self.notes += [f"mended: turn {len(self.turns) + 1}: {each}" for each in what]

    # ---- the user ---------------------------------------------------------------------------------------------------

    async def _user(self, step: Step) -> Words:
        if step.kind == OPENER:
            thing = words_of(step.domain)
            texts = await self._caller.speech("opener", wording.OPENERS, (), wording.openers, domain=thing)
            return wording.unmarked(self._rng.choice(texts))
        asked = [slot_words(act.slot) for act in step.acts if act.act == "request"]
        task = Template(wording.FREE_TASKS[step.kind]).safe_substitute(properties=", ".join(asked))
        said = await self._caller.speech(
            "user",
            wording.USER_FREE,
            self.turns,
            lambda reply: wording.said(reply, USER),
            domain=words_of(step.domain),
            persona=self._persona,
            preferences=wording.preferences(step),
            task=task,
        )
        text, marks = wording.unmarked(said)
        if not text:
            raise ReadingError("expected a message, got marks alone", said)
        return await rewritten(self._caller, text, self._rng), marks

    async def _state(self, text: str, step: Step) -> State:
        """What is read of all that the user has written, reconciled with what is revealed."""
        read: dict[str, str] = {}
        for _ in range(3):  # rule 5: again, where nothing came
            try:
                read = await self._caller.reading(
                    "slots",
                    wording.EXTRACT_ALL,
                    (),
                    wording.slots_read,
                    wording.schema(self._setting.ontology, self._domains),
                    slots=wording.slots_of(self._setting.ontology, self._domains),
                    utterances=wording.user_lines(self.turns, text),
                )
            except ReadingError as error:
                raise Dropped("slots", f"unreadable: {error}", error.raw) from error
            if read or not step.state:
                break
        read = {name: wording.spelled(self._setting.ontology, name, value) for name, value in read.items()}
        state, mended = reconciled(read, step.state or {}, self._setting.ontology)
        self._mended(mended)
        return state

    def _of_user(self, step: Step, text: str, marks: frozenset[str], state: State) -> Turn:
        """The turn, with those of its acts that were read, and what its marks say."""
        acts = [
            act
            for act in step.acts
            if act.act != "recommend"
            and (act.act != "inform" or not act.slot or slot_name(act.domain, act.slot) in state)
        ]
        if wording.RECOM in marks:
            acts.append(Act(step.domain, "recommend"))
        return Turn(USER, text, (), written(acts), state, step.domain)

    # ---- the agent --------------------------------------------------------------------------------------------------

    async def _grounded(self, step: Step) -> Words:
        """What the agent says; the names and numbers in it have to be known."""
        text, marks = await self._agent(step)
        strange = self._setting.grounding.invented(text, step, self.turns, self._held)
        if strange is not None:
            raise ReadingError(strange, text)
        return text, marks

    async def _agent(self, step: Step) -> Words:
        if step.kind == RECOMMEND and self._rng.random() < self._manner.templates:
            return Draw(self._setting.phrases, step, self.turns, self._rng).agent(), frozenset()
        kind = "agent chat" if step.kind == CHAT else step.kind
        asked = [slot_words(act.slot) for act in step.acts if act.act == "request"]
        details = [f"{slot_words(act.slot)} {act.value}" for act in step.acts if act.value]
        task = Template(wording.FREE_TASKS[kind]).safe_substitute(
            properties=", ".join(asked), details=", ".join(details) or "no more"
        )
        lookup = step.lookup
        said = await self._caller.speech(
            "agent",
            wording.AGENT_FREE,
            self.turns,
            lambda reply: wording.said(reply, SYSTEM),
            domain=words_of(step.domain),
            constraints=", ".join(f"{slot} {value}" for slot, value in (lookup.constraints if lookup else {}).items()),
            count=lookup.count if lookup else 0,
            rows=wording.shown(lookup.rows if lookup else ()),
            task=task,
        )
        text, marks = wording.unmarked(said)
        text = trimmed(text)
        if not text:
            raise ReadingError("expected a message, got marks alone", said)
        return text, marks

    def _of_agent(self, step: Step, text: str) -> Turn:
        """The turn, with those of its acts that were said."""
        acts = [act for act in step.acts if self._setting.grounding.is_said(act, text)]
        return Turn(SYSTEM, text, (), written(acts), None, step.domain, step.lookup)

    async def _offered(self, step: Step) -> str | None:
        """The name that a message offers, "" for none; None where it was no offer."""
        if (
            step.kind not in (REPORT, RECOMMEND)
            or not step.lookup
            or step.domain not in self._setting.database.domains
        ):
            return None
        named = self._setting.ontology.domain(step.domain).named
        names = [row[named] for row in step.lookup.rows if named in row]
        if not names:
            return None
        schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        try:
            found = await self._caller.reading(
                "name", wording.NAME, self.turns[-2:], wording.name_read, schema, names=", ".join(names)
            )
        except ReadingError as error:
            raise Dropped("name", f"unreadable: {error}", error.raw) from error
        return (offered(found, names) or "") if found else ""

    def _is_done(self, step: Step, text: str, marks: frozenset[str]) -> bool:
        """Whether the domain has ended: by the mark, or by the words for it."""
        words = re.search(r"\bbooked\b|\breference\b|\bnot possible\b", text, re.IGNORECASE) is not None
        return step.kind in ENDS and (
            step.kind == CHAT or words or bool(marks & {wording.BOOKED, wording.END_OF_AGENT})
        )


def trimmed(text: str) -> str:
    """A message without sentences that begin with "If"; a long one with its first question alone."""
    sentences = [each for each in re.split(r"(?<=[.!?])\s+", text) if not re.match(r"if\b", each, re.IGNORECASE)]
    if len(text.split()) >= LONG:
        questions = [each for each in sentences if each.endswith("?")]
        sentences = [each for each in sentences if each not in questions[1:]]
    return " ".join(sentences)
