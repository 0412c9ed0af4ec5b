"""`python -m builders build|check|push|push-model|quac|coqa|multiwoz|sgd`: runs to datasets, files and the Hub."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.errors import ParleyError

if TYPE_CHECKING:
    from builders.hub_repo import Content


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0, or the error's: 2 for the user's mistakes, 1 for the world's, with one message on stderr."""
    options = _parser().parse_args(argv)
    try:
        lines = _VERBS[options.verb](options)
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        left = (
            "what reached the Hub stays there; push again"
            if options.verb.startswith("push")
            else "nothing was changed"
        )
        print(f"error: interrupted; {left}", file=sys.stderr)
        return 130
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m builders", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="make a dataset folder from a finished run")
    build.add_argument("run", type=Path, metavar="RUN", help="run folder, as python -m synthesis wrote it")
    build.add_argument("--out", type=Path, default=Path("dist"), help="where datasets go (default: %(default)s)")
    build.add_argument("--name", help="the dataset's name (default: the recipe's)")
    build.add_argument("--repo", metavar="ORG/NAME", help="Hub id in the card's examples (default: the name)")
    build.add_argument("--license", help="licence id from the Hub's list (default: the recipe's)")
    build.add_argument(
        "--reference", metavar="SOURCE", help="dialogues (of people, say) whose numbers the card shows beside"
    )
    check = verbs.add_parser("check", help="load every config of a dataset folder, and count")
    check.add_argument("dist", type=Path, metavar="DIST")
    push = verbs.add_parser("push", help="put a dataset folder on the Hub in one commit, and verify it there")
    push.add_argument("dist", type=Path, metavar="DIST")
    model = verbs.add_parser("push-model", help="put a trained model on the Hub in one commit, and verify it there")
    model.add_argument("folder", type=Path, metavar="FOLDER")
    for one, breaks in ((push, "schema"), (model, "architecture")):
        _push_flags(one, breaks)
    _export_flags(verbs)
    return parser


def _push_flags(push: argparse.ArgumentParser, breaks: str) -> None:
    push.add_argument("--repo", required=True, metavar="ORG/NAME")
    push.add_argument("--private", action="store_true", help="make a new repository private")
    push.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    push.add_argument("--revision", metavar="BRANCH", help="branch (default: main)")
    push.add_argument("--replace", action="store_true", help=f"publish even if the {breaks} changes or files go")
    push.add_argument(
        "--version", metavar="V", help="tag the commit vV (not with --create-pr: what is merged is another commit)"
    )


def _export_flags(verbs: Any) -> None:
    for form, name in (("quac", "QuAC"), ("coqa", "CoQA")):
        export = verbs.add_parser(form, help=f"write conversations about documents as one JSON file in {name}'s form")
        export.add_argument("source", type=Path, metavar="DIST_OR_RUN", help="dataset folder, or finished run")
        export.add_argument("--out", type=Path, required=True, metavar="FILE.json")
        export.add_argument("--split", help="train, validation or test (default: all)")
    for form, name in (("multiwoz", "MultiWOZ 2.2"), ("sgd", "SGD")):
        export = verbs.add_parser(form, help=f"write dialogues with states as a folder of JSON files in {name}'s form")
        export.add_argument("source", type=Path, metavar="DIST_OR_RUN", help="dataset folder, or finished run")
        export.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new or an empty one")
        export.add_argument(
            "--ontology", type=Path, metavar="FOLDER", help="of the schema.json that the run had (default: Parley's)"
        )


def _build(options: argparse.Namespace) -> list[str]:
    from builders.build import build, summary

    built = build(
        options.run,
        options.out,
        name=options.name,
        repo=options.repo,
        license=options.license,
        reference=options.reference,
    )
    repo = options.repo or f"org/{built.folder.name}"
    dist = "" if built.folder == Path("dist/synthetic-persona-chat") else f"DIST={built.folder} "
    return [*summary(built, built.folder), f"publish it: make push {dist}REPO={repo}"]


def _check(options: argparse.Namespace) -> list[str]:
    from builders.hub_dataset import check

    return [
        f"{config}: " + ", ".join(f"{rows} {split}" for split, rows in splits.items())
        for config, splits in check(options.dist).items()
    ]


def _push(options: argparse.Namespace) -> list[str]:
    from builders.hub_dataset import Dataset

    return _pushed(options, options.dist, Dataset.read, 'load_dataset("{}"{})')


def _push_model(options: argparse.Namespace) -> list[str]:
    from builders.hub_folder import some
    from builders.hub_model import Model

    def read(folder: Path) -> Model:
        model = Model.read(folder)
        if model.left_out:
            print(f"not published: {some(model.left_out)}", flush=True)
        return model

    return _pushed(options, options.folder, read, 'from_pretrained("{}"{})')


def _pushed(options: argparse.Namespace, folder: Path, read: Callable[[Path], Content], load: str) -> list[str]:
    from builders.hub import push

    pushed = push(
        folder,
        options.repo,
        read=read,
        private=options.private,
        create_pr=options.create_pr,
        revision=options.revision,
        replace=options.replace,
        version=options.version,
    )
    revision = "" if pushed.revision == "main" else f', revision="{pushed.revision}"'
    return [str(pushed), load.format(pushed.repo, revision)]


def _export(options: argparse.Namespace) -> list[str]:
    from builders.qa_files import write

    return [write(options.source, options.verb, options.out, options.split)]


def _export_states(options: argparse.Namespace) -> list[str]:
    from builders.state_files import write

    return [write(options.source, options.verb, options.out, options.ontology)]


_VERBS = {
    "build": _build,
    "check": _check,
    "push": _push,
    "push-model": _push_model,
    "quac": _export,
    "coqa": _export,
    "multiwoz": _export_states,
    "sgd": _export_states,
}


if __name__ == "__main__":
    sys.exit(main())
