"""Guard: stops a round of which nothing comes but failures at the endpoint, before every row has paid for it.

Whether one request fails or all do, the engine finds out (`engines/canary`). What it cannot see is a recipe that asks
what the server does not do: each request is refused as invalid, while a plain one would be answered.
"""

from __future__ import annotations

from synthesis.errors import EngineError, Outage, Quarantined

AT_LEAST = 10


class Guard:
    """Looks at the outcomes of a round of `total` dialogues, `in_flight` side by side.

    It stops when all of the first dialogues failed at the endpoint: ten, or twice as many as are worked on side by
    side, because refusals are quick and the first reply is not; or all that there are, if these are fewer. Of such a
    few, requests in quarantine cost their rows alone: then the endpoint is known to answer.

    `total` None: never, for seeds that had failed before lose nothing when they fail again.
    """

    def __init__(self, total: int | None, in_flight: int) -> None:
        self._total = total
        self._most = max(AT_LEAST, 2 * in_flight)
        self._failed: int | None = 0 if total is not None else None  # None: there is nothing to fear

    def see(self, error: EngineError | None) -> None:
        """Takes note of a dialogue and what failed, if that was the endpoint. Raises Outage, which stops the run."""
        if error is None or self._failed is None:
            self._failed = None
            return
        self._failed += 1
        all_refused = self._failed == self._total and not isinstance(error, Quarantined)
        if self._failed >= self._most or all_refused:
            raise Outage(
                f"all of the first {self._failed} dialogues failed: {error}. Every finished call is in the journal: "
                "start the same command again when the endpoint takes such requests; another recipe, other fields or "
                "another model need another --out"
            ) from error
