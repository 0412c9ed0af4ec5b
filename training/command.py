"""What every script of this folder runs in: mistakes told in one line and by the exit status, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from synthesis.errors import ParleyError


def told(script: Callable[[], None]) -> int:
    """Runs `script`; 0, or after the message on standard error 1 for failures and 2 for the user's mistakes."""
    try:
        script()
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
