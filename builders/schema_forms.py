"""An ontology as schema.json, in MultiWOZ 2.2's form or in SGD's."""

from __future__ import annotations

from collections.abc import Iterable

from builders.state_forms import intent
from synthesis.dialogue import Json
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.state import DONTCARE, slot_name


def multiwoz_schema(ontology: Ontology) -> list[Json]:
    """The services in MultiWOZ 2.2's form: slot names have the domain."""
    return _schema(ontology, prefixed=True)


def sgd_schema(ontology: Ontology) -> list[Json]:
    """The services in SGD's form: slots stand alone, and the intent to search says what its results have."""
    return _schema(ontology, prefixed=False)


def _schema(ontology: Ontology, prefixed: bool) -> list[Json]:
    """A domain that has neither slots nor properties is left out: a schema must have slots."""
    return [_service(domain, prefixed) for domain in ontology.domains if domain.slots or domain.properties]


def _service(domain: Domain, prefixed: bool) -> Json:
    def name(slot: str) -> str:
        return slot_name(domain.name, slot) if prefixed else slot

    tracked = [
        {
            "name": name(slot.name),
            "description": slot.description,
            "is_categorical": bool(slot.values),
            "possible_values": list(slot.values),
        }
        for slot in domain.slots
    ]
    asked = [
        {"name": name(each), "description": each, "is_categorical": False, "possible_values": []}
        for each in domain.properties
    ]
    searches = [_intent(domain, False, domain.search, prefixed)] if domain.inventory else []
    books = [_intent(domain, True, domain.slots, prefixed)] if domain.books else []
    return {
        "service_name": domain.name,
        "description": domain.description,
        "slots": tracked + asked,
        "intents": searches + books,
    }


def _intent(domain: Domain, books: bool, slots: Iterable[Slot], prefixed: bool) -> Json:
    """What an intent takes. A slot is required of the intent that it belongs to, a booking or a search."""

    def name(slot: str) -> str:
        return slot_name(domain.name, slot) if prefixed else slot

    required = [slot.name for slot in slots if slot.required and (slot.booking or not (books and domain.inventory))]
    results = [] if prefixed else [*(slot.name for slot in domain.search), *domain.properties]
    return {
        "name": intent(domain.name, books),
        "description": f"{'book' if books else 'look for'} one: {domain.description}",
        "is_transactional": books,
        "required_slots": [name(slot) for slot in required],
        "optional_slots": {name(slot.name): DONTCARE for slot in slots if slot.name not in required},
        **({} if prefixed else {"result_slots": results}),
    }
