"""Grammars tried in a process of their own, so that one that explodes costs that process and nobody else.

    python -m synthesis.server.rehearsal

Some grammars of a few hundred bytes compile for hours or fill the memory, and a thread that does so cannot be stopped.
The process reads lines of JSON: first the tokenizer, then grammars, each answered by its error, empty when it has
none. A timer ends it when a grammar takes too long, a limit when it takes too much memory; the timer counts what the
process computes, so that what is refused does not depend on how busy the machine is.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

PATIENCE = 3  # seconds of a core for one grammar, most of which take milliseconds; choice
MEMORY = 2 << 30  # bytes of address space; choice
STEPS = 4  # tokens that are written on trial; choice
STEP_FUEL = 50_000  # work of one step's mask, about 4 ms, since all running sequences wait for it; choice


def tokenizer_of(serialized: str, vocabulary: int, ends: list[int]) -> LLTokenizer:
    """llguidance's tokenizer, from tokenizer.json as text."""
    from llguidance import LLTokenizer

    return LLTokenizer(serialized, n_vocab=vocabulary, eos_token=ends)


def matcher_of(tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
    """The grammar compiled, within limits; it may be in error."""
    from llguidance import LLMatcher, LLParserLimits

    return LLMatcher(tokenizer, grammar, log_level=0, limits=LLParserLimits(step_lexer_fuel=STEP_FUEL))


class Rehearsal:
    """The process, started at the first grammar and again after one that ended it. Not thread-safe."""

    def __init__(self, serialized: str, vocabulary: int, ends: list[int]) -> None:
        self._opening = json.dumps([serialized, vocabulary, ends])
        self._process: subprocess.Popen[str] | None = None

    def error(self, grammar: str) -> str | None:
        """What is wrong with a grammar: empty when nothing is, None when the process did not live to tell."""
        process = self._process or self._start()
        with contextlib.suppress(BrokenPipeError):
            _say(process, grammar)
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            return str(json.loads(line))
        _end(process)
        self._process = None
        return None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "synthesis.server.rehearsal"]
        path = os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "PYTHONPATH": path, "RAYON_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        weakref.finalize(self, _end, self._process)
        _say(self._process, json.loads(self._opening))
        return self._process


def _say(process: subprocess.Popen[str], value: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(value) + "\n")
    process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with contextlib.suppress(BrokenPipeError):  # what was not sent any more
        process.__exit__(None, None, None)


def main() -> None:
    """Try the grammars of standard input until it ends."""
    import numpy as np
    from llguidance.numpy import fill_next_token_bitmask

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when this ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    serialized, vocabulary, ends = json.loads(sys.stdin.readline())
    tokenizer = tokenizer_of(serialized, vocabulary, ends)
    bits = np.zeros((1, (vocabulary + 31) // 32), dtype=np.int32)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        matcher = matcher_of(tokenizer, json.loads(line))
        for _ in range(STEPS):
            if matcher.is_error() or matcher.is_stopped():
                break
            fill_next_token_bitmask(matcher, bits)
            allowed = np.flatnonzero(np.unpackbits(bits[0].view(np.uint8), bitorder="little"))
            matcher.consume_token(int(allowed[-1]))
        print(json.dumps(matcher.get_error() if matcher.is_error() else ""), flush=True)
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
