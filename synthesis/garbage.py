"""Garbage: Python's search for reference cycles, as a program of many small short-lived records needs it."""

from __future__ import annotations

import gc

_OBJECTS = 50_000


def seldom() -> None:
    """Searches once per `_OBJECTS` new objects instead of once per 700, and never among what is there already.

    Requests, replies and tokens hold no cycles and go as soon as nobody has them; looking through them took a fifth
    of a busy client's time. For whole programs, to be called when everything is imported.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 20)
