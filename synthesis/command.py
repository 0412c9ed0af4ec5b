"""The command line of `python -m synthesis`: flags, and the fields of the recipe that is named."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

from synthesis.engine import CRITIC, GENERATOR
from synthesis.errors import UserError
from synthesis.flag_types import port, positive, price, seconds, share
from synthesis.outcomes import Shard

ROLES = (GENERATOR, CRITIC)
EPILOG = """examples:
  python -m synthesis spc                                    the embedded model, nothing to download
  python -m synthesis spc --endpoint http://localhost:3000   a text-generation-inference server
  python -m synthesis spc --endpoint http://a:3000 --endpoint http://b:3000     two servers of one model
  python -m synthesis spc --preset paper --candidates 8      a preset, and a field of the recipe changed
  python -m synthesis spc --dry-run --n 10000                what would it take?
  python -m synthesis diasynth --topic 'Rent, and who pays it' --topic Opera --no-cot    lists and switches
  python -m synthesis solid --sequences MSDialog-Intent.json --bugs    as the released code had it
"""


def recipes() -> list[str]:
    """Names of the recipes: the modules of synthesis/recipes."""
    from synthesis import recipes as folder

    return sorted(module.name for module in pkgutil.iter_modules(folder.__path__))


def recipe_class(name: str) -> type[Any]:
    """The dataclass of a recipe. Raises UserError listing the recipes there are."""
    if name not in recipes():
        raise UserError(f"no recipe {name!r}; there are {', '.join(recipes())}")
    module = importlib.import_module(f"synthesis.recipes.{name}")
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and vars(kind).get("name") == name]
    if len(found) != 1:
        raise TypeError(f"synthesis/recipes/{name}.py: expected one dataclass with name = {name!r}, found {found}")
    return found[0]


def parser() -> argparse.ArgumentParser:
    """The flags that every recipe has."""
    made = argparse.ArgumentParser(
        "python -m synthesis",
        description="Runs a recipe: seeds in, filtered dialogues and their provenance out.",
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("recipe", metavar="RECIPE", help=f"one of: {', '.join(recipes())}")
    _servers(add)
    add("--preset", default="improved", help="set of hyper-parameters (default: improved)")
    add("--n", type=positive, default=100, help="dialogues to try (default: 100)")
    add("--seed", type=int, default=0, help="seed of the run (default: 0)")
    add("--out", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE)")
    add("--shard", type=Shard.parse, default=Shard(), metavar="I/N", help="take part I of N of the seeds")
    add("--in-flight", type=positive, default=64, help="dialogues worked on side by side (default: 64)")
    add(
        "--max-failures",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="the exit status is 1 when more than this share of the seeds failed (default: 0.05)",
    )
    _figures(add)
    add("--dry-run", action="store_true", help="print the calls, tokens and time a run will need, from a small pilot")
    add("--retry-failed", action="store_true", help="try the failed seeds of a finished run again, and no others")
    add("--replay", action="store_true", help="ask nobody: repeat a finished run from its journal")
    add("--fields", action="store_true", help="list the recipe's fields with their values, and stop")
    return made


def _servers(add: Callable[..., Any]) -> None:
    """Who is asked."""
    add(
        "--endpoint",
        metavar="URL",
        action="append",
        default=[],
        help="text-generation-inference or OpenAI-compatible server; key from TGI_API_KEY; give it again for each "
        "further server of the same model",
    )
    for role in ROLES:
        add(
            f"--{role}-endpoint",
            metavar="URL",
            action="append",
            default=[],
            help=f"as --endpoint, for the {role} alone",
        )
    add(
        "--patience",
        type=seconds,
        default=300.0,
        metavar="S",
        help="seconds to wait for an endpoint when none answers, at the start or later, before the run stops "
        "(default: 300)",
    )
    add(
        "--model",
        help="without endpoint: the model to serve, a folder or Hub id (default: the embedded one); "
        "with endpoint: which of its models",
    )
    for role in ROLES:
        add(f"--{role}-model", metavar="MODEL", help=f"as --model, for the {role} alone; needs an endpoint")
    add("--threads", type=positive, default=1, help="threads of the embedded server (default: 1)")


def _figures(add: Callable[..., Any]) -> None:
    """What is told of the traffic."""
    for direction in ("in", "out"):
        add(
            f"--price-{direction}",
            type=price,
            metavar="X",
            help=f"price of a million tokens {direction}: run.json and the progress line then say what the run costs",
        )
    add(
        "--metrics-port",
        type=port,
        metavar="PORT",
        help="serve OpenMetrics at http://127.0.0.1:PORT/metrics while the run lasts",
    )


def parse(arguments: list[str]) -> tuple[argparse.Namespace, dict[str, list[str]]]:
    """Flags, and the recipe's fields with every value that was given. Raises UserError for what is neither.

    `--no-field` stands for `--field false` and takes no value; nor needs one a field that is true or false.
    """
    flags, rest = parser().parse_known_args(arguments)
    flags.recipe = flags.recipe.replace("-", "_")  # solid-rl, as its dataset and its field's flags are written
    values: dict[str, list[str]] = {}
    while rest:
        flag = rest.pop(0)
        name, has_value, value = flag.partition("=")
        if not name.startswith("--"):
            raise UserError(f"unexpected argument {flag!r}; fields are given as --field value")
        if name.startswith("--no-") and not has_value:
            name, has_value, value = f"--{name[5:]}", "=", "false"
        if not has_value and (not rest or rest[0].startswith("--")) and _is_switch(flags.recipe, name[2:]):
            has_value, value = "=", "true"
        if not has_value and not rest:
            raise UserError(f"{name}: expected a value")
        values.setdefault(name[2:].replace("-", "_"), []).append(value if has_value else rest.pop(0))
    return flags, values


def _is_switch(recipe: str, flag: str) -> bool:
    """Whether a field of the recipe is true or false."""
    return get_type_hints(recipe_class(recipe)).get(flag.replace("-", "_")) is bool


def describe(recipe: Any) -> str:
    """One `--field value` a line."""
    return "\n".join(
        f"--{field.name.replace('_', '-'):24} {getattr(recipe, field.name)}" for field in dataclasses.fields(recipe)
    )


def endpoints(flags: argparse.Namespace) -> dict[str, list[str]]:
    """Addresses by role; empty when none was named. Raises UserError when a role is left without any."""
    named: dict[str, list[str]] = {role: getattr(flags, f"{role}_endpoint") for role in ROLES}
    if not (flags.endpoint or any(named.values())):
        return {}
    for role, urls in named.items():
        if not urls and not flags.endpoint:
            raise UserError(f"no endpoint for the {role}: give --{role}-endpoint, or --endpoint for both roles")
    return {role: urls or flags.endpoint for role, urls in named.items()}


def named_models(flags: argparse.Namespace) -> dict[str, str | None]:
    """By role which of an endpoint's models was named, or None.

    Raises UserError when a role is given one of its own and there is no endpoint that could have several.
    """
    own: dict[str, str | None] = {role: getattr(flags, f"{role}_model") for role in ROLES}
    for role, name in own.items():
        if name is not None and not endpoints(flags):
            raise UserError(
                f"--{role}-model {name}: the embedded server has one model for all roles, named by --model; give an "
                f"--endpoint that serves several, or a --{role}-endpoint"
            )
    return {role: name or flags.model for role, name in own.items()}
