"""Clock: the seconds trained so far in every entry of a trainer's log, those before a resumption included."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):  # type: ignore[misc]
    """Adds `seconds` to what a trainer logs; a run that goes on from a checkpoint counts on from there."""

    began = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Called once the checkpoint, if there is one, has been read."""
        before = [entry["seconds"] for entry in state.log_history if "seconds" in entry]
        self.began = time.monotonic() - max(before, default=0.0)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """Called with the entry that has just been added to the history."""
        logs["seconds"] = state.log_history[-1]["seconds"] = round(time.monotonic() - self.began, 1)
