"""What can go wrong, as one tree, named by the boundary that was crossed.

    ParleyError                  anything Parley reports by itself; the message is for the user, no traceback needed
    ├── UserError                the user's mistake: a file, a flag, a key, a folder (exit status 2)
    │   └── KeyRefused           the endpoint does not know the key (401)
    └── Failure                  the world's (exit status 1)
        ├── EngineError          an endpoint did not give a reply
        │   ├── RequestRefused   the request is wrong and will stay wrong (4xx): never retried
        │   │   ├── Barred       no way through here (402, 403, 404), for this request or for all; perhaps elsewhere
        │   │   └── ContextOverflow   prompt and reply do not fit the model's context
        │   ├── Unsupported      this dialect has no such feature; names the feature and who has it
        │   ├── Overloaded       the server takes no more just now (429, 503): back off and come again
        │   ├── Unavailable      transport or server fault (424, 500, 502, 504, resets, torn streams): a few retries
        │   │   ├── Unreachable  the request never got to a server that works: no fault of the request
        │   │   │   └── NoSuchHost   the name in the address leads nowhere
        │   │   └── Outage       no endpoint came back in time: the run stops, and goes on when started again
        │   └── Quarantined      this request fails whenever it is asked; names it and the last cause
        ├── ReadingError         a reply came, but what was asked for cannot be read out of it; carries the raw text
        ├── JournalError         the journal on disk cannot be read or written
        ├── StorageError         the disk refused: full, read-only, gone
        ├── BuildError           a run folder cannot be made into a dataset
        └── PushError            the Hub refused, or what it holds afterwards is not what was sent

A message says what, which, got what, and what to do.
"""

from __future__ import annotations


class ParleyError(Exception):
    """Anything that Parley reports by itself."""

    exit_status = 1


class UserError(ParleyError):
    """The user's mistake; the message says what to do instead."""

    exit_status = 2


class NoSeeds(UserError):
    """Nothing could be made of what was given, or of what the model said to it."""


class KeyRefused(UserError):
    """The endpoint wants another key, or any."""


class Failure(ParleyError):
    """Something outside the user's hands went wrong."""


class EngineError(Failure):
    """An endpoint did not give a reply."""


class RequestRefused(EngineError):
    """The endpoint rejected the request as invalid (HTTP 4xx); asking again cannot help."""


class Barred(RequestRefused):
    """The endpoint lets nobody through here, or not with this request: no quota, no permission, no such model."""


class ContextOverflow(RequestRefused):
    """The prompt, or prompt plus `max_new_tokens`, exceeds the model's context."""


class Unsupported(EngineError):
    """The dialect or model lacks a feature that the request needs."""


class Overloaded(EngineError):
    """The endpoint takes no more requests just now.

    `retry_after`: seconds the server asked us to wait, or None when it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(EngineError):
    """The endpoint or the way to it failed; a bounded number of retries is worth it."""


class Unreachable(Unavailable):
    """The endpoint refuses connections or everybody: the request waits or goes elsewhere, and is not to blame."""


class NoSuchHost(Unreachable):
    """The name in the endpoint's address could not be resolved: most likely it is misspelt."""


class Outage(Unavailable):
    """No endpoint came back within the patience that was given. Nothing is lost: the journal has what was paid for."""


class Quarantined(EngineError):
    """A request that was tried as often as is worth it, at endpoints that answer others.

    `key`: its name in the journal; `cause`: what the last try raised; `since`: when the first failed (monotonic).
    """

    def __init__(self, message: str, key: str, cause: EngineError, since: float) -> None:
        super().__init__(message)
        self.key, self.cause, self.since = key, cause, since


class ReadingError(Failure):
    """What was asked for cannot be read out of a reply. `raw` is the reply's text, whole."""

    def __init__(self, message: str, raw: str) -> None:
        super().__init__(message)
        self.raw = raw


class JournalError(Failure):
    """The journal on disk cannot be read or written."""


class StorageError(Failure):
    """The disk refused a write."""


class BuildError(Failure):
    """A run folder cannot be made into a dataset."""


class PushError(Failure):
    """The Hub refused a push, or holds something else afterwards."""
