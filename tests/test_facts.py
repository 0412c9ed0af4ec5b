"""Facts of a model that several runs trained after each other."""

from __future__ import annotations

from typing import Any

from training.facts import joined


def run(number: int, **more: Any) -> dict[str, Any]:
    point = {"step": 1, "loss": 1.0 / number}
    return {"steps": 10, "tokens_seen": 100, "seconds": 5, "curve": [point], "command": f"run {number}", **more}


def test_runs_add_up_and_what_each_learned_is_there() -> None:
    """Parts of one corpus count together, a file that both runs read counts once, drills are of both."""
    corpus, file = {"source": "talks", "dialogues": 7}, {"source": "x.jsonl", "sha256": "0a", "tokens": 30}
    first = run(
        1,
        base="org/base",
        data=[{**corpus, "dialogues": 6, "tokens": 20}, file],
        tasks=[_task("text", 2), _task("drill", 1)],
    )
    second = run(2, data=[{**corpus, "tokens": 50}, file], tasks=[_task("call", 3), _task("drill", 4)], seed=1)
    facts = joined([first, second])
    assert facts["data"] == [{**corpus, "tokens": 70}, file]
    assert facts["tasks"] == [_task("text", 2), _task("drill", 5), _task("call", 3)]
    assert (facts["steps"], facts["tokens_seen"], facts["seconds"], facts["base"]) == (20, 200, 10, "org/base")
    assert [point["step"] for point in facts["curve"]] == [1, 11]
    assert facts["command"] == "run 1\nrun 2"
    assert "tokens" not in joined([run(1, data=[corpus]), run(2, data=[corpus])])["data"][0]


def _task(name: str, examples: int) -> dict[str, Any]:
    return {"name": name, "examples": examples, "tokens": 9 * examples, "target_tokens": examples}
