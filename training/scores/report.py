"""The page of a model's scores, docs/embedded.md, and the same numbers as a result that the model's card takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cards.card import cell, fenced, number
from synthesis.dialogue import Dialogue, from_json
from synthesis.storage import replacing

Facts = Mapping[str, Any]

WANTED = dict.fromkeys(
    [
        "swapped profiles",
        "swapped attributes",
        "shuffled turns",
        "swapped profiles, by likelihood",
        "shuffled turns, by likelihood",
    ],
    "at least 0.75",
)


def write(facts: Facts, samples: Mapping[str, Sequence[Mapping[str, Any]]], first: Facts | None, path: Path) -> None:
    """The page. `first`: the facts of the first embedded model; `samples`: rows of dialogues by recipe."""
    with replacing(path) as stream:
        stream.write("\n".join(_text(facts, samples, first)) + "\n")


def _text(facts: Facts, samples: Mapping[str, Sequence[Mapping[str, Any]]], first: Facts | None) -> Iterator[str]:
    about = facts["about"]
    yield f"# {about['model']} on held-out dialogues\n"
    yield (
        "Made by `python -m training.scores`; every number and every dialogue below is the command's own. The "
        f"dialogues are those of `{about['corpus']}`, by a hash of their ids or profiles, that no training reads. "
        f"Seed {about['seed']}; {number(about['minutes'])} minutes{_server(about)}.\n"
    )
    if about["quick"]:
        yield "This was a quick run, to see that everything works: its samples are too small to compare models.\n"
    yield "## Scores\n"
    yield from _scores(facts, first)
    yield "\n" + _how(facts)
    yield "\n## Perplexity by source\n"
    yield from _perplexities(facts, first)
    yield "\n## Replies that their reader can read at first try\n"
    yield from _formats(facts, first)
    yield "\n## Dialogues\n"
    yield (
        "Of each recipe the first dialogues by id that it kept with its grammars, at most five, as they were written; "
        "where the first of its forms above kept fewer, those of the next.\n"
    )
    for recipe, rows in samples.items():
        yield from _samples(recipe, rows)


def _server(about: Facts) -> str:
    return f" with a server of {about['threads']} thread(s)" if about["threads"] else ""


# ---- tables ---------------------------------------------------------------------------------------------------------


def rows(facts: Facts) -> dict[str, str]:
    """What the table of scores says of a model, by the name of the score."""
    chat = facts["persona_chat"]["model"]
    return (
        {
            "perplexity a token, transcripts": number(facts["perplexity"]["text"]["all"]["perplexity"]),
            "bits a character, transcripts": number(facts["perplexity"]["text"]["all"]["bits_per_character"]),
            "perplexity a token, persona chat": number(facts["perplexity"]["chat"]["all"]["perplexity"]),
            "bits a character, persona chat": number(facts["perplexity"]["chat"]["all"]["bits_per_character"]),
        }
        | _spoken(chat)
        | {f"AUC, {name}": _auc(found) for name, found in facts["verdicts"].items()}
        | {f"read with grammar, {name}": _share(found["grammar"]) for name, found in facts["formats"].items()}
        | {f"read without grammar, {name}": _share(found["free"]) for name, found in facts["formats"].items()}
    )


def _spoken(chat: Facts) -> dict[str, str]:
    """The rows that people's dialogues have, too."""
    hygiene, found = chat["hygiene"], chat["identification"]
    accuracy, chance = found.get("profile_accuracy"), found.get("profile_accuracy_chance")
    ends = (
        f" {_percents({'low': found['profile_accuracy_low'], 'high': found['profile_accuracy_high']})}"
        if found
        else ""
    )
    return {
        "passes all hygiene at first try": f"{_percent(hygiene['value'])} {_percents(hygiene)}",
        "profile identified among 20": f"{_percent(accuracy)}{ends} (chance {_percent(chance)})",
        "distinct-2": number(chat["distinct_2"]),
        "self-BLEU": number(chat["self_bleu"]),
    }


def _wanted(name: str, people: Mapping[str, str]) -> str:
    if name.startswith("read with grammar"):
        return "100 %"
    if name.startswith("read without grammar"):
        return "at least 80 %"
    if name in ("distinct-2", "self-BLEU"):
        return f"within 25 % of {people[name]}"
    return {
        "passes all hygiene at first try": "at least 90 %",
        "profile identified among 20": "at least 50 %",
    }.get(name) or WANTED.get(name.removeprefix("AUC, "), "")


def _scores(facts: Facts, first: Facts | None) -> Iterator[str]:
    here, there = rows(facts), rows(first) if first else {}
    people = _spoken(facts["persona_chat"]["human"])
    yield "| score | this model | first model | people | wanted |"
    yield "|---|--:|--:|--:|---|"
    for name, value in here.items():
        yield f"| {name} | {value} | {there.get(name, '–')} | {people.get(name, '')} | {_wanted(name, people)} |"


def _how(facts: Facts) -> str:
    chat, n = facts["persona_chat"], facts["about"]["sizes"]
    model = chat["model"]
    sizes = ", ".join(
        f"{name} {found['dialogues']} ({found['unreadable']} more without a readable verdict)"
        for name, found in facts["verdicts"].items()
    )
    return (
        "Brackets hold 95 % of bootstrap draws over dialogues, for identification over speakers. Persona chat: "
        f"{model['dialogues']} dialogues for held-out profiles, each written once by the recipe spc in its preset "
        f"`laptop`, whose grammar counts the turns; {model['unreadable']} had no turns to read; dropped by: "
        f"{_dropped(model)}. People's dialogues are the real ones of the same profiles, under the same filters; most "
        "profiles were made by rule of what their speakers say, which makes people's easy to identify. "
        f"Identification: {model['identification'].get('profile_speakers', 0)} speakers of the model's, "
        f"{chat['human']['identification'].get('profile_speakers', 0)} of people's. Distinct-2 and self-BLEU are "
        f"taken over pairs of both cut to the same words ({number(model['words'])} in all). Verdicts on: {sizes}. "
        "The first model was measured when it was made, by the preset of then, without a grammar that counts turns. "
        "By likelihood: as the preset judges faithfulness, without a question: by the log-likelihood ratio of a talk, "
        "as the generator's reply, and the same with the profiles exchanged, or with its turns in another order. The "
        "other verdicts are answers to the critics' questions, which the other presets ask. "
        f"Formats: {n['runs']} seeds of each form of a recipe, with its grammars and without any."
    )


def _perplexities(facts: Facts, first: Facts | None) -> Iterator[str]:
    yield "| form | source | perplexity | bits a character | first model's | texts | tokens | too long |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for form, of in facts["perplexity"].items():
        for source, found in of.items():
            before = first["perplexity"][form].get(source, {}).get("bits_per_character") if first else None
            numbers = (found["perplexity"], found["bits_per_character"], before)
            counts = (found["texts"], found["tokens"], found["too_long"])
            yield f"| {form} | {source} | " + " | ".join(number(value) for value in (*numbers, *counts)) + " |"
    yield (
        "\nThe first model's column has bits a character: perplexity a token depends on the vocabulary. `text`: plain "
        "transcripts; `chat`: a talk as the answer to the generator's prompt."
    )


def _formats(facts: Facts, first: Facts | None) -> Iterator[str]:
    yield "| recipe | stage | with grammar | replies | without | replies | first model's, with | without |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for recipe, found in facts["formats"].items():
        before = first["formats"].get(recipe, {"stages": {}})["stages"] if first else {}
        for stage, by in found["stages"].items():
            cells = [text for where in ("grammar", "free") for text in _both(by.get(where))]
            cells += [_share(before.get(stage, {}).get(where)) for where in ("grammar", "free")]
            yield f"| {recipe} | {cell(stage)} | {' | '.join(cells)} |"
    yield (
        "\nWithout: calls that the recipe never holds, and those that it holds, asked again without their grammars. A "
        "stage that is not there was not asked for.\n"
    )
    yield "| form of a recipe | grammar | seeds | kept | dropped | failed | stopped |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for found in facts["formats"].values():
        for came in found["outcomes"]:
            counts = " | ".join(number(came.get(name)) for name in ("seeds", "kept", "dropped", "failed"))
            held = "yes" if came["grammar"] else "no"
            yield f"| {cell(came['form'])} | {held} | {counts} | {cell(came['stopped'] or '')} |"


def _both(by: Mapping[str, int] | None) -> tuple[str, str]:
    return (_share(by), number(by["replies"])) if by and by["replies"] else ("–", "–")


def _share(by: Mapping[str, int] | None) -> str:
    return _percent(by["read"] / by["replies"]) if by and by["replies"] else "–"


def _auc(found: Facts) -> str:
    if found["auc"] is None:
        return "–"
    return f"{found['auc']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.3g} %"


def _percents(found: Facts) -> str:
    return f"[{100 * found['low']:.3g}, {100 * found['high']:.3g}]"


def _dropped(chat: Facts) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in chat["dropped"].items()) or "nothing"


# ---- dialogues ------------------------------------------------------------------------------------------------------


def _samples(recipe: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"\n### {recipe}\n"
    if not rows:
        yield "It kept none."
    for row in rows:
        dialogue = from_json(dict(row), recipe)
        yield f"`{dialogue.id}`\n"
        yield fenced("\n\n".join([*_given(dialogue), dialogue.text()])) + "\n"


def _given(dialogue: Dialogue) -> Iterator[str]:
    """What the dialogue was to be about and who speaks."""
    about = " / ".join(part for part in (dialogue.topic, dialogue.subtopic) if part)
    if about:
        yield f"[{about}]"
    if dialogue.document:
        yield f"[{dialogue.document}]"
    for persona in dialogue.personas:
        yield "\n".join([f"[{persona.name or persona.id}]", *persona.traits])


# ---- the card -------------------------------------------------------------------------------------------------------


def result(facts: Facts, first: Facts | None = None) -> dict[str, Any]:
    """The scores as `python -m cards model --result` takes them, `first` and people's beside."""
    about, chat = facts["about"], facts["persona_chat"]
    scores = _numbers(facts)
    texts = {f"perplexity, {form}": found["all"]["texts"] for form, found in facts["perplexity"].items()}
    counted = {
        **texts,
        **{name.replace("perplexity", "bits a character"): count for name, count in texts.items()},
        **dict.fromkeys(("hygiene at first try", "distinct-2", "self-BLEU"), chat["model"]["dialogues"]),
        "profile identification": chat["model"]["identification"].get("profile_speakers"),
        **{f"AUC {name}": found["dialogues"] for name, found in facts["verdicts"].items()},
        **{name: replies for name, (_, replies) in _read(facts).items()},
    }
    return {
        "task": "dialogue",
        "model": about["model"],
        "test": {"data": "held-out dialogues", "examples": chat["model"]["dialogues"]},
        "settings": {"seed": about["seed"], **about["sizes"], "quick": about["quick"]},
        "scores": {name: value for name, value in scores.items() if value is not None},
        "counted": counted,
        "beside": ({"first model": _numbers(first)} if first else {}) | {"people": _spoken_numbers(chat["human"])},
    }


def _numbers(facts: Facts) -> dict[str, float | None]:
    return {
        **{f"perplexity, {form}": found["all"]["perplexity"] for form, found in facts["perplexity"].items()},
        **{
            f"bits a character, {form}": found["all"]["bits_per_character"]
            for form, found in facts["perplexity"].items()
        },
        **_spoken_numbers(facts["persona_chat"]["model"]),
        **{f"AUC {name}": found["auc"] for name, found in facts["verdicts"].items()},
        **{name: read / replies for name, (read, replies) in _read(facts).items()},
    }


def _spoken_numbers(chat: Facts) -> dict[str, float | None]:
    return {
        "hygiene at first try": chat["hygiene"]["value"],
        "profile identification": chat["identification"].get("profile_accuracy"),
        "distinct-2": chat["distinct_2"],
        "self-BLEU": chat["self_bleu"],
    }


def _read(facts: Facts) -> dict[str, tuple[int, int]]:
    """By recipe, with and without grammar, the replies read at first try, and all of them."""
    return {
        f"read {how} grammar, {recipe}": (found[where]["read"], found[where]["replies"])
        for recipe, found in facts["formats"].items()
        for how, where in (("with", "grammar"), ("without", "free"))
        if found[where]["replies"]
    }
