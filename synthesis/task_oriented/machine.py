"""The conversation of a simulated user and agent as a state machine: who does what next, without words.

One conversation is one goal, one object and one random generator. A user's step says what to tell and which belief
state that makes; an agent's what was looked up and what to answer. Both ways of putting it into words walk the same
machine. Where the labels come first, a step is said as it stands: `heard()` and `said()` without arguments. Where an
engine speaks freely and an extractor reads (as published), a step is what may be said, and they tell what was.

    talk = Conversation(goal, ontology, database, Policy(), Random("7"))
    while (step := talk.user()) is not None:
        talk.heard()
        answer = talk.agent()
        talk.said()

The transitions are those of LUAS (arXiv 2405.13037, section 3.3): the user informs until all is told; no result leads
to an update, one to a question or an action, many to a recommendation; the action ends a domain, and goodbyes the
conversation. The name of a venue comes into the state when the user takes it or asks about it, never when it is
offered.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from synthesis.errors import UserError
from synthesis.recipe import Dropped
from synthesis.task_oriented import agent_moves, user_moves
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import Goal
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.progress import Progress, Scene, begun
from synthesis.task_oriented.state import SYSTEM, USER, State
from synthesis.task_oriented.steps import ENDS, Step


class Conversation:
    """One conversation about `goal`: ask `user`, tell `heard`, ask `agent`, tell `said`, and again until None.

    Raises UserError for a goal without domains or with one twice, for a domain that the ontology does not have or the
    database cannot look up, and for slots and values that the domain does not have.
    """

    def __init__(self, goal: Goal, ontology: Ontology, database: Database, policy: Policy, rng: Random) -> None:
        policy.check()
        if not goal.wishes:
            raise UserError("goal: no domain in it; give one wish at least")
        for domain in goal.domains:
            if goal.domains.count(domain) > 1:
                raise UserError(f"goal: {domain} is in it {goal.domains.count(domain)} times; make it one wish")
        talks = [begun(wish, ontology, database, policy, rng) for wish in goal.wishes]
        self._scene = Scene(ontology, database, policy, rng, talks, tuple(ontology.slots))
        self._step: Step | None = None
        self._ended = self._over = False

    @property
    def state(self) -> State:
        """The belief state as it was heard last."""
        return self._scene.state

    def user(self) -> Step | None:
        """What the user does next; None when the conversation is over.

        Raises Dropped where a domain takes more exchanges than it may.
        """
        if self._over:
            return None
        while (talk := self._talk()) is not None:
            talk.exchange += 1
            if talk.exchange >= self._scene.policy.cap_of(talk.domain):
                raise Dropped("simulation", f"cap: {talk.exchange} exchanges about {talk.domain.name} and no end")
            if (step := user_moves.wish(self._scene, talk)) is not None:
                return self._next(step)
            talk.done = True
        return self._next(user_moves.goodbye(self._scene))

    def heard(
        self, state: State | None = None, asked_recommendation: bool | None = None, ended: bool | None = None
    ) -> tuple[str, ...]:
        """Takes what the user has said; what is not given is as the step has it.

        `state`: the whole belief state that was read. `ended`: the user is done with this domain. Returns a message
        for each slot and value of the state that the ontology does not have; they are left out.
        """
        step = self._last(USER)
        asks = any(act.act == "recommend" for act in step.acts)
        self._scene.state, refused = _legal(step.state or {} if state is None else state, self._scene.ontology)
        self._scene.recommendation = asks if asked_recommendation is None else asked_recommendation
        self._ended = any(act.act == "bye" for act in step.acts) if ended is None else ended
        return refused

    def agent(self) -> Step:
        """What the agent does in answer."""
        heard, talk = self._last(USER), self._now()
        if talk is not None and not self._ended:
            return self._next(agent_moves.answer(self._scene, talk, heard))
        if talk is not None:
            talk.done = True
        self._over = self._scene.last
        return self._next(agent_moves.small_talk(heard.domain, self._over))

    def said(
        self, offered: str | None = None, booked: bool | None = None, asked: Collection[str] | None = None
    ) -> tuple[str, ...]:
        """Takes what the agent has said; what is not given is as the step has it.

        `offered`: the name of what was offered, "" for nothing. `booked`: the action was reported done. `asked`: slots
        that were asked for. Returns a message where no row that the agent was shown has the name; nothing is offered
        then.
        """
        step, talk = self._last(SYSTEM), self._now()
        if talk is None:
            return ()
        if asked is not None:
            talk.asked = tuple(slot for slot in (*talk.wanted, *talk.needed) if slot in asked)
        talk.done = talk.done or (step.kind in ENDS if booked is None else booked)
        return () if offered is None else _offer(talk, step, offered)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _now(self) -> Progress | None:
        scene = self._scene
        return scene.talks[scene.at] if scene.at < len(scene.talks) else None

    def _talk(self) -> Progress | None:
        """The talk that goes on, or the next; None after the last."""
        scene = self._scene
        while scene.at < len(scene.talks) and (scene.at < 0 or scene.talks[scene.at].done):
            scene.at += 1
            if (talk := self._now()) is not None:
                user_moves.enter(scene, talk)
        return self._now()

    def _next(self, step: Step) -> Step:
        self._step = step
        return step

    def _last(self, speaker: str) -> Step:
        """The step that was given last. Raises ValueError where it is not that speaker's turn."""
        if self._step is None or self._step.speaker != speaker:
            raise ValueError(f"out of turn: expected a step of the {speaker}, got {self._step}")
        return self._step


def _legal(state: State, ontology: Ontology) -> tuple[dict[str, str], tuple[str, ...]]:
    """Of a state what the ontology has, as it spells it, and a message for everything else."""
    legal: dict[str, str] = {}
    refused = []
    for name, value in state.items():
        try:
            if not value.strip():
                raise UserError(f"{name}: empty; a slot without a value is left out of a state")
            legal |= ontology.legal({name: value})
        except UserError as error:
            refused.append(str(error))
    return legal, tuple(refused)


def _offer(talk: Progress, step: Step, offered: str) -> tuple[str, ...]:
    rows = step.lookup.rows if step.lookup is not None else ()
    named = [row for row in rows if row.get(talk.domain.named, "").casefold() == offered.casefold()]
    if named and offered:
        talk.offer(named[0], talk.recommended or len(talk.rows or ()) > 1)
        return ()
    if not talk.taken:
        talk.drop()
    return (f"{offered!r}: no row that the agent was shown has this name",) if offered else ()
