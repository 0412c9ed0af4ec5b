"""A trained model as its facts show it: kind, origin, data and results, for the card's metadata and its words.

Facts of a fine-tuned model add: base (Hub id, or the name of a folder), relation (finetune, adapter or merge), lora {}
(an adapter's settings), encoder_decoder (bool), earlier [facts of the runs before this one, first to last], local
[names in these facts that are no Hub ids], results [result.json of training.evaluate].
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]

RELATIONS = ("finetune", "adapter", "merge")
_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_TASKS = {"summarise": "summarization", "qa": "question-answering"}
_METRICS = {"em": "exact_match", "bertscore": "bertscore", "rouge": "rouge", "f1": "f1", "heq": "heq"}
"""Metrics by how their names begin, and what the Hub calls them."""


def kind(facts: Facts) -> str:
    """adapter, encoder-decoder or causal."""
    if facts.get("relation") == "adapter":
        return "adapter"
    return "encoder-decoder" if facts.get("encoder_decoder") else "causal"


def head(facts: Facts) -> dict[str, Any]:
    """The metadata that the Hub reads. Raises KeyError for a missing fact, ValueError for a relation unheard of."""
    what, base, learned = kind(facts), base_id(facts), trained_on(facts)
    made: dict[str, Any] = {
        "license": licence(facts),
        "language": ["en"],
        "library_name": "peft" if what == "adapter" else "transformers",
        # the Hub knows no task any more for what writes one text for another
        **({} if facts.get("encoder_decoder") else {"pipeline_tag": "text-generation"}),
        "tags": ["parley", "dialogue", "synthetic-data"] + (["lora"] if what == "adapter" else []),
    }
    if base is not None:
        relation = facts.get("relation") or "finetune"
        if relation not in RELATIONS:
            raise ValueError(f"relation to the base is {relation!r}; expected one of {', '.join(RELATIONS)}")
        made |= {"base_model": base, "base_model_relation": relation}
    if learned:
        made["datasets"] = learned
    if facts.get("results"):
        made["model-index"] = [{"name": facts["name"], "results": [_indexed(facts, one) for one in facts["results"]]}]
    return made


def licence(facts: Facts) -> str:
    """What the facts say, else ours for a model from scratch; whoever names a base has to look at the base's."""
    return str(facts.get("license") or ("unknown" if _first(facts).get("base") else "apache-2.0"))


def base_id(facts: Facts) -> str | None:
    """The Hub id from which the first of all runs started; None for a model from scratch or a folder's."""
    base = _first(facts).get("base")
    return str(base) if base and base not in facts.get("local", ()) else None


def _first(facts: Facts) -> Facts:
    """The facts of the first of all runs."""
    return next(iter(facts.get("earlier", ())), facts)


def trained_on(facts: Facts) -> list[str]:
    """Hub ids of the data of all runs, in order."""
    places = [each["place"] for run in (*facts.get("earlier", ()), facts) for each in sources(run["data"])]
    return list(dict.fromkeys(place for place in places if _is_id(place, facts)))


def sources(data: Sequence[Facts]) -> list[dict[str, Any]]:
    """Data as the card's table has it, whatever script wrote it down; None for what is not known of a source.

    A source goes by `data` (with `config` and `split`), or by `name`, or by `source`.
    """
    return [
        {
            "place": place,
            "source": " ".join(str(part) for part in (place, row.get("config"), row.get("split")) if part),
            "licence": row.get("licence"),
            "dialogues": row.get("dialogues"),
            "examples": next((row[key] for key in ("examples", "rows", "pairs") if key in row), None),
            "tokens": row.get("tokens"),
            "weight": row.get("weight"),
            "SHA-256": str(row["sha256"])[:12] if row.get("sha256") else None,
        }
        for row in data
        for place in [str(row[place_key(row)])]
    ]


def place_key(row: Facts) -> str:
    """Under which key a source says where it is. Raises KeyError when it does not."""
    for key in ("data", "name", "source"):
        if row.get(key):
            return key
    raise KeyError(f"a source of data without a name: {dict(row)}")


def shown(result: Facts) -> dict[str, Any]:
    """A result as the card's text has it: task, the data it was measured on, scores, and what they depend on.

    `beside`: by name the same scores of others, which are no scores of the model and stay out of its metadata.
    """
    test = result["test"]
    return {
        "task": result["task"],
        "data": " ".join(str(test[key]) for key in ("data", "config", "split") if test.get(key)),
        "examples": test.get("examples"),
        "scores": flat(result["scores"]),
        "counted": result.get("counted") or {},
        "beside": {name: flat(scores) for name, scores in (result.get("beside") or {}).items()},
        "latency": flat(result.get("latency") or {}),
        "settings": {
            name: value for name, value in flat(result.get("settings") or {}).items() if value not in (None, "")
        },
    }


def flat(values: Facts, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by a space."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        made |= flat(value, f"{prefix}{key} ") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return made


def _indexed(facts: Facts, result: Facts) -> dict[str, Any]:
    """One entry of model-index."""
    test, place = result["test"], str(result["test"]["data"])
    scores = {name: value for name, value in flat(result["scores"]).items() if _is_number(value)}
    if not scores:
        raise ValueError(f"the result on {place} has no score that is a number; evaluate again")
    rules = (result.get("settings") or {}).get("rules") or result.get("rules")
    by = f" ({rules})" if isinstance(rules, str) else ""
    about = {name: test[name] for name in ("config", "split") if test.get(name)}
    return {
        "task": {"type": _TASKS.get(result["task"], result["task"])},
        "dataset": {"type": place if _is_id(place, facts) else _slug(place), "name": place, **about},
        "metrics": [{"type": _metric(name), "value": value, "name": name + by} for name, value in scores.items()],
    }


def _is_id(place: str, facts: Facts) -> bool:
    return _ID.fullmatch(place) is not None and place not in facts.get("local", ())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _metric(name: str) -> str:
    return next((known for start, known in _METRICS.items() if name.lower().startswith(start)), _slug(name))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "data"
