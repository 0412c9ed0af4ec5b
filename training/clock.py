"""Clock and Session: the seconds trained so far in a trainer's log, and training that is spread over several days."""

from __future__ import annotations

import time
from typing import Any

from accelerate.utils import broadcast_object_list
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


class Session(TrainerCallback):  # type: ignore[misc]
    """Saves every `save_minutes`, and stops at a checkpoint after `max_minutes`; 0 is never. `over`: it has stopped.

    Clocks differ between processes, and all must save and stop at the same step: the first one's counts.
    """

    def __init__(self, max_minutes: float, save_minutes: float) -> None:
        self.max_minutes, self.save_minutes, self.over = max_minutes, save_minutes, False
        self.began = self.saved = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Called before the first step."""
        self.began = self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        """Called after every step; looks at the clock as often as is logged."""
        if not (self.max_minutes or self.save_minutes) or state.global_step % max(1, int(args.logging_steps)):
            return control
        now = time.monotonic()
        due = [
            bool(self.max_minutes) and now - self.began >= 60 * self.max_minutes,
            bool(self.save_minutes) and now - self.saved >= 60 * self.save_minutes,
        ]
        over, save = broadcast_object_list(due) if args.world_size > 1 else due
        if state.global_step < state.max_steps and over:
            self.over = control.should_training_stop = True
        if over or save:
            control.should_save, self.saved = True, now
        return control
