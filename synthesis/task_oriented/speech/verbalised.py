"""Acts first, then words: every turn is what the state machine decided, and verified before it is taken.

What a user says is read by somebody who has not seen its acts; what an agent says is held against what was looked up.
A turn that fails is said again, a few times; then the dialogue is dropped with the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from string import Template

from synthesis.dialogue import Turn, transcript
from synthesis.errors import ReadingError
from synthesis.recipe import Dropped
from synthesis.task_oriented.acts import written
from synthesis.task_oriented.simulation.machine import Conversation
from synthesis.task_oriented.simulation.steps import RECOMMEND, Step
from synthesis.task_oriented.speech import wording
from synthesis.task_oriented.speech.phrases import Draw
from synthesis.task_oriented.speech.setting import Caller, Setting
from synthesis.task_oriented.speech.verification import misread, told
from synthesis.task_oriented.state import SYSTEM, USER, State

CHOOSE = Template("""A visitor chats with a local guide.

$history

What does the $speaker write next?
$candidates

Answer with the number of one of these alone.""")

SEEN = 4
"""Turns that a model is shown that only chooses among sentences (choice): it is a small one."""


class Verbalised:
    """One dialogue on its way. `turns`: those that passed; `notes`: what was said again, and why."""

    def __init__(
        self, setting: Setting, caller: Caller, domains: tuple[str, ...], persona: str | None, rng: Random
    ) -> None:
        self._setting, self._caller, self._manner = setting, caller, caller.manner
        self._domains, self._persona, self._rng = domains, wording.persona(persona), rng
        self._state: State = {}
        self._about: str | None = None
        self.turns: list[Turn] = []
        self.notes: list[str] = []

    async def run(self, talk: Conversation) -> None:
        """The conversation to its end. Raises Dropped."""
        while (step := talk.user()) is not None:
            await self._turn(step, self._user, self._misread)
            self._state = step.state or {}
            talk.heard()
            step = talk.agent()
            await self._turn(step, self._agent, self._ungrounded)
            talk.said()

    async def _turn(
        self,
        step: Step,
        word: Callable[[Step, int], Awaitable[str]],
        judge: Callable[[str, Step], Awaitable[str | None]],
    ) -> None:
        fault = raw = ""
        for attempt in range(self._manner.regenerations + 1):
            try:
                raw = await word(step, attempt)
                found = await judge(raw, step)
            except ReadingError as error:
                found, raw = f"unreadable: {error}", error.raw
            if found is None:
                self.turns.append(
                    Turn(step.speaker, raw, (), written(step.acts), step.state, step.domain, step.lookup)
                )
                return
            fault = found
            self.notes.append(f"said again: turn {len(self.turns) + 1}: {fault}")
        stage = "state" if step.speaker == USER else "grounding"
        said = [*self.turns, Turn(step.speaker, raw)]
        raise Dropped(stage, f"{fault} (turn {len(said)})", transcript(said))

    # ---- words ------------------------------------------------------------------------------------------------------

    async def _user(self, step: Step, attempt: int) -> str:
        """What the user says; at the first attempt perhaps in other words."""
        if self._manner.wording == "phrases":
            return await self._chosen(step, "visitor")
        text = await self._caller.speech(
            "user",
            wording.USER_ACTS,
            self.turns,
            lambda reply: wording.said(reply, USER),
            acts=wording.acts_of(step),
            persona=self._persona,
        )
        return await rewritten(self._caller, text, self._rng) if not attempt else text

    async def _agent(self, step: Step, attempt: int) -> str:
        """What the agent says; a recommendation is mostly a template of ours."""
        if self._manner.wording == "phrases":
            return await self._chosen(step, "guide")
        if step.kind == RECOMMEND and self._rng.random() < self._manner.templates:
            return Draw(self._setting.phrases, step, self.turns, self._rng).agent()
        return await self._caller.speech(
            "agent",
            wording.AGENT_ACTS,
            self.turns,
            lambda reply: wording.said(reply, SYSTEM),
            acts=wording.acts_of(step),
        )

    async def _chosen(self, step: Step, speaker: str) -> str:
        among = self._setting.phrases.candidates(step, self.turns, self._manner.candidates, self._rng)
        template = Template(CHOOSE.safe_substitute(speaker=speaker))
        return await self._caller.chosen(
            "user" if step.speaker == USER else "agent", template, self.turns[-SEEN:], among
        )

    # ---- judges -----------------------------------------------------------------------------------------------------

    async def _misread(self, text: str, step: Step) -> str | None:
        """Why the slots read in a user's words are not those of the step."""
        if self._manner.extractor == "none":
            return None
        wanted = told(step.acts, self._setting.ontology)
        read = await self._read(text)
        return misread(read, wanted, step.state or {})

    async def _read(self, text: str) -> State:
        ontology = self._setting.ontology
        if self._manner.extractor == "rules":
            reading = self._setting.rules.read(text, self.turns, self._state, self._last())
            return reading.told
        read = await self._caller.reading(
            "slots",
            wording.EXTRACT,
            self.turns,
            wording.slots_read,
            wording.schema(ontology, self._domains),
            slots=wording.slots_of(ontology, self._domains),
            utterance=text,
        )
        return {name: wording.spelled(ontology, name, value) for name, value in read.items()}

    def _last(self) -> str | None:
        """The domain of the turn before: known to everybody who has followed the conversation."""
        return next((turn.domain for turn in reversed(self.turns) if turn.domain != "general"), None)

    async def _ungrounded(self, text: str, step: Step) -> str | None:
        """Why an agent may not say this."""
        return self._setting.grounding.fault(text, step, self.turns, self._state)


async def rewritten(caller: Caller, text: str, rng: Random) -> str:
    """`text`, or one of its variants, each as likely; `text` where no variants are wanted."""
    if not caller.manner.rewrites:
        return text
    variants = await caller.speech("rewrite", wording.REWRITE, (), wording.variants, utterance=text)
    return rng.choice([text, *variants[: caller.manner.rewrites]])
