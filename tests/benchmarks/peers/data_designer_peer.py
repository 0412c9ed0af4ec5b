"""The table's plain workload in Data Designer: `python data_designer_peer.py URL REQUESTS IN_FLIGHT FOLDER`.

Runs in Data Designer's own environment; prints seconds and rows with a reply as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NEMO_TELEMETRY_ENABLED", "false")

import data_designer.config as dd
from data_designer.interface import DataDesigner


def main(url: str, requests: int, in_flight: int, folder: Path) -> dict[str, Any]:
    """Seconds, and how many rows have a reply."""
    how = dd.ChatCompletionInferenceParams(max_parallel_requests=in_flight, max_tokens=64, temperature=0.7)
    model = dd.ModelConfig(
        alias="words", model="bench/words", provider="bench", inference_parameters=how, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.add_column(
        dd.SamplerColumnConfig(name="number", sampler_type=dd.SamplerType.UUID, params=dd.UUIDSamplerParams())
    )
    builder.add_column(
        dd.LLMTextColumnConfig(name="text", model_alias="words", prompt="Conversation {{ number }}\nA:")
    )
    provider = dd.ModelProvider(name="bench", endpoint=f"{url}/v1", provider_type="openai", api_key="none")
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    begun = time.perf_counter()
    made = designer.create(builder, num_records=requests, dataset_name="bench").load_dataset()
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": int(made["text"].astype(bool).sum())}


if __name__ == "__main__":
    told = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    print(json.dumps(told))
