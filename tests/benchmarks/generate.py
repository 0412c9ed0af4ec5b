"""The same work in transformers, in a process of its own: `generate` with a static batch, and continuous batching.

`python -m tests.benchmarks.generate MODEL` loads the folder in bfloat16 and says "ready"; then each line of standard
input is a task, and its answer the seconds that it took: {"prompts": [[id, ...], ...], "new": 64} for one batch, and
with "at" (seconds of each arrival, ascending) and a list for "new", requests on their own through the manager that
`generate_batch` uses, with a cache of a fixed size. Greedy, from ids to ids: no text is tokenized or written.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.server import ROOT

BLOCKS, TOKENS = 24, 256  # of the cache, 256 positions each, which made it fastest of 16, 24 and 64; of a pass
CORES = sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def first_core() -> Iterator[None]:
    """What is started in this block stays on the first core."""
    os.sched_setaffinity(0, CORES[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES[1:] or CORES)


class Transformers:
    """The process of `tests.benchmarks.generate`."""

    def __init__(self, folder: Path) -> None:
        with first_core():
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.generate", str(folder)],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("tests.benchmarks.generate has ended: run it by hand to see why")
        return line

    def seconds(self, **task: Any) -> float:
        """What a task took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return float(self._line())


def load(folder: str) -> Any:
    """The model, which ends no text of itself."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = None
    return model.eval()


def batch(model: Any, prompts: list[list[int]], new: int) -> float:
    """Seconds of one static batch."""
    import torch

    ids = torch.tensor(prompts)
    begun = time.perf_counter()
    written = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=0
    )
    taken = time.perf_counter() - begun
    assert written.shape == (len(prompts), len(prompts[0]) + new)
    return taken


def arrivals(manager: Any, prompts: list[list[int]], new: list[int], at: list[float]) -> float:
    """Seconds from the first arrival to the last token."""
    ended: dict[str, int] = {}
    begun = time.perf_counter()

    def take(patience: float) -> None:
        result = manager.get_result(timeout=patience)
        if result is not None and result.is_finished():
            ended[result.request_id] = len(result.generated_tokens)
        elif result is None and not manager.is_running():
            raise RuntimeError("transformers' continuous batching has ended by itself")

    for number, (prompt, length, arrival) in enumerate(zip(prompts, new, at, strict=True)):
        while (left := begun + arrival - time.perf_counter()) > 0:
            take(left)
        manager.add_request(prompt, f"{begun}-{number}", max_new_tokens=length, eos_token_id=-1)
    while len(ended) < len(prompts):
        take(1.0)
    taken = time.perf_counter() - begun
    assert sorted(ended.values()) == sorted(new)
    return taken


def together(model: Any, task: dict[str, Any]) -> float:
    """`arrivals` with a manager of its own, which is made before the time runs."""
    from transformers import GenerationConfig
    from transformers.generation import ContinuousBatchingConfig

    with model.continuous_batching_context_manager(
        generation_config=GenerationConfig(do_sample=False, max_new_tokens=256, eos_token_id=-1, pad_token_id=0),
        continuous_batching_config=ContinuousBatchingConfig(num_blocks=BLOCKS, max_batch_tokens=TOKENS),
    ) as manager:
        return arrivals(manager, task["prompts"], task["new"], task["at"])


def main(folder: str) -> None:
    """Tasks until standard input ends."""
    model, other = load(folder), None
    print("ready", flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if "at" in task:
            other = other or load(folder)  # continuous batching changes the model's attention
            seconds = together(other, task)
        else:
            seconds = batch(model, task["prompts"], task["new"])
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
