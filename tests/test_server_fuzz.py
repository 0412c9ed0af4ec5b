"""The server against what its own OpenAPI document allows, and against what it forbids: schemathesis and hypothesis.

Every case goes over the loopback to one server; at the end it writes the same text as at the beginning.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.serving import Served, serving

NEIGHBOUR: dict[str, Any] = {"seed": 4, "do_sample": True, "max_new_tokens": 20}
BOUNDED = settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
FAST = {"max_new_tokens": 3, "max_tokens": 3, "max_completion_tokens": 3}
"""Bounds what a valid request costs."""


class Running:
    """A server on an event loop in a thread of its own, since schemathesis asks synchronously."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._context = serving("--max-total-tokens", "128")
        self.served: Served = self.do(self._context.__aenter__())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def end(self) -> None:
        self.do(self._context.__aexit__(None, None, None))
        self.do(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    made = Running()
    calm = made.do(made.served.generate("My dog", **NEIGHBOUR))
    yield made
    assert made.do(made.served.generate("My dog", **NEIGHBOUR)) == calm
    assert made.served.service.permits == 128
    made.end()


def shortened(value: Any) -> Any:
    """The request with fewer tokens to write."""
    if not isinstance(value, dict):
        return value
    return {
        key: min(given_, FAST[key])
        if key in FAST and isinstance(given_, int) and not isinstance(given_, bool)
        else shortened(given_)
        for key, given_ in value.items()
    }


@pytest.fixture(scope="module")
def document(running: Running) -> Any:
    return schemathesis.openapi.from_url(f"{running.served.url}/api-doc/openapi.json")


PATHS = ["/generate", "/generate_stream", "/", "/tokenize", "/chat_tokenize", "/v1/chat/completions"]
PATHS += ["/v1/completions", "/invocations", "/vertex"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=str)
def test_the_server_is_as_its_document_says(running: Running, document: Any, path: str, mode: Any) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    operation = document[path]["POST"]
    seen: set[int] = set()

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.body = shortened(case.body)
        response = case.call()
        seen.add(response.status_code)
        case.validate_response(
            response,
            checks=[
                not_a_server_error,
                content_type_conformance,
                response_schema_conformance,
                status_code_conformance,
            ],
        )

    ask()
    assert seen


NAMES = ("best_of", "do_sample", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "seed", "stop")
NAMES += ("frequency_penalty", "max_new_tokens", "truncate", "return_full_text", "details", "decoder_input_details")
NAMES += ("top_n_tokens", "watermark", "grammar", "adapter_id")
EDGES = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        2**31,
        2**32,
        2**63,
        2**64,
        0.0,
        -0.0,
        1e-45,
        0.5,
        1.0,
        3.4e38,
        1e39,
        "",
        "a",
        [],
        {},
    ]
)


@BOUNDED
@given(data=st.data())
def test_parameters_at_their_edges(running: Running, data: Any) -> None:
    async def ask(bodies: list[Any]) -> list[Any]:
        return list(await asyncio.gather(*(running.served.post("/generate", one) for one in bodies)))

    given_ = st.dictionaries(st.sampled_from(NAMES), EDGES | st.floats(-3, 3) | st.integers(), max_size=5)
    bodies = [
        shortened({"inputs": "My dog", "parameters": {"max_new_tokens": 3, **one}})
        for one in data.draw(st.lists(given_, min_size=20, max_size=20))
    ]
    for status, body in running.do(ask(bodies)):
        assert status in (200, 422, 424)
        assert (
            body
            if isinstance(body, str)
            else "generated_text" in body
            or body["error_type"]
            in (
                "validation",
                "generation",
            )
        )
