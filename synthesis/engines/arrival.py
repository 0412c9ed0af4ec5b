"""Arrival: waits for endpoints at the start, until each role has one that answers.

A server that loads its model refuses connections (text-generation-inference and vLLM open their port last) or says
503 (llama.cpp), so both are waited for with the whole patience; as the wait is told at once, whoever mistyped a port
sees it. A name that does not resolve is no sign of a server to come: the wait for that is short. What is final (a bad
key, another model, no text generation) is not waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Mapping, Sequence

from synthesis.engines.pool import TELL_SECONDS, Member
from synthesis.engines.retry import Backoff
from synthesis.errors import NoSuchHost, Overloaded, Unavailable

_LOG = logging.getLogger(__name__)
NAME_SECONDS = 10.0
_LOOK_SECONDS = 5.0  # from one look to the next, at most: who is up should not be waited for
Named = Mapping[str, Sequence[str]]
"""Addresses by role."""
Absent = Overloaded | Unavailable


async def arrived(
    members: Mapping[str, Member],
    named: Named,
    backoff: Backoff,
    *,
    tell: float = TELL_SECONDS,
    unnamed: float = NAME_SECONDS,
) -> dict[str, Absent]:
    """The endpoints that do not answer, with the reason, as soon as one of each role does.

    Everybody is asked once, and then those whose role has nobody yet. `tell`: seconds between two messages. `unnamed`:
    how long to wait for a name to resolve. Raises Unavailable after `backoff.patience`, or before where there is no
    hope, and what is final at once.
    """
    absent, begun, told = await _asked(members), time.monotonic(), -math.inf
    for times in itertools.count(1):
        wanted = {role: [absent[url] for url in each] for role, each in named.items() if absent.keys() >= set(each)}
        if not wanted:
            break
        now = time.monotonic()
        left = min(_left(role, errors, now - begun, backoff.patience, unnamed) for role, errors in wanted.items())
        again = {url: members[url] for role in wanted for url in named[role]}
        if now - told >= tell:
            told = now
            for url in again:
                _LOG.warning("waiting for %s: %s; up to %.0f s more", url, absent[url], left)
        pause = max(min(_LOOK_SECONDS, backoff.jitter(times)), *map(_asked_for, wanted.values()))
        await asyncio.sleep(min(pause, left))
        found = await _asked(again)
        absent = {url: error for url, error in absent.items() if url not in again} | found
    return absent


async def _asked(members: Mapping[str, Member]) -> dict[str, Absent]:
    """Those that do not answer. Raises what waiting does not help."""

    async def absence(member: Member) -> Absent | None:
        try:
            await member.check()
        except (Overloaded, Unavailable) as error:
            return error
        return None

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {url: group.create_task(absence(member)) for url, member in members.items()}
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return {url: error for url, task in tasks.items() if (error := task.result()) is not None}


def _left(role: str, errors: Sequence[Absent], gone: float, patience: float, unnamed: float) -> float:
    """Seconds that are left for a role of which these are all. Raises Unavailable when there is no hope."""
    nowhere = all(isinstance(error, NoSuchHost) for error in errors)
    left = (min(patience, unnamed) if nowhere else patience) - gone
    if left > 0 and _asked_for(errors) <= left:
        return left
    told = "; ".join(dict.fromkeys(map(str, errors)))
    raise Unavailable(
        f"no endpoint of the {role} answers, after {gone:.0f} s: {told}. Start the server, correct the address, or "
        "wait for longer with --patience; with no endpoint at all, the embedded server is used"
    )


def _asked_for(errors: Sequence[Absent]) -> float:
    """Seconds until the first of these wants to be asked again."""
    return min((error.retry_after or 0.0) if isinstance(error, Overloaded) else 0.0 for error in errors)
