"""The table's plain workload in a distilabel pipeline: `python distilabel_peer.py URL REQUESTS IN_FLIGHT FOLDER`.

Runs in distilabel's own environment; prints seconds and rows with a reply as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(url: str, requests: int, in_flight: int, folder: Path) -> dict[str, Any]:
    """Seconds, and how many rows have a reply. A batch is what distilabel sends at a time."""
    with Pipeline(name="bench", cache_dir=folder / "cache") as pipeline:
        rows = [{"instruction": f"Conversation {number}\nA:"} for number in range(requests)]
        load = LoadDataFromDicts(data=rows, batch_size=in_flight)
        model = OpenAILLM(
            model="bench/words", base_url=f"{url}/v1", api_key="none", generation_kwargs={"max_new_tokens": 64}
        )
        load >> TextGeneration(llm=model, input_batch_size=in_flight)
    begun = time.perf_counter()
    made = pipeline.run(use_cache=True)["default"]["train"]
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": sum(1 for row in made if row["generation"])}


if __name__ == "__main__":
    told = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    print(json.dumps(told))
