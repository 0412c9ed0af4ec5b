"""The table's plain workload in datatrove's InferenceRunner: `python datatrove_peer.py URL REQUESTS IN_FLIGHT FOLDER`.

Runs in datatrove's own environment; prints seconds and rows with a reply as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.writers import JsonlWriter


async def ask(document: Document, generate: Any, **_: Any) -> Any:
    """One request a document."""
    return await generate({"messages": [{"role": "user", "content": document.text}], "max_tokens": 64})


def main(url: str, requests: int, in_flight: int, folder: Path) -> dict[str, Any]:
    """Seconds, and how many documents have a reply."""
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=url,
        model_name_or_path="bench/words",
        max_concurrent_generations=in_flight,
    )
    writer = JsonlWriter(str(folder / "out"), output_filename="${rank}_${chunk_index}.jsonl", compression=None)
    runner = InferenceRunner(ask, config, writer, checkpoints_local_dir=str(folder / "checkpoints"))
    documents = (Document(text=f"Conversation {number}\nA:", id=str(number)) for number in range(requests))
    begun = time.perf_counter()
    runner.run(documents)
    seconds = time.perf_counter() - begun
    lines = [line for path in (folder / "out").rglob("*.jsonl") for line in path.read_text().splitlines()]
    rows = [json.loads(line)["metadata"]["rollout_results"] for line in lines]
    return {"seconds": seconds, "rows": sum(1 for row in rows if row and row[0])}


if __name__ == "__main__":
    told = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    print(json.dumps(told))
