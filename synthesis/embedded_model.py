"""Which model the embedded server serves: the shipped one, a folder, or a Hub id fetched to the local cache."""

from __future__ import annotations

import re
from pathlib import Path

from synthesis.errors import Failure, UserError

NAME = "parley-embedded"
_HUB_ID = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")
SHIPPED = Path(__file__).parent / "embedded"


def chosen(name: str | None) -> tuple[Path, str]:
    """Folder and public name of a model: None or "embedded" for the shipped one.

    A folder goes by its own name, without the path. A Hub id is downloaded to the Hugging Face cache: safetensors and
    tokenizer files only, never code or pickles. Raises UserError for an id that does not exist and for a LoRA adapter,
    Failure when the Hub cannot be reached.
    """
    if name in (None, "embedded", NAME):
        return SHIPPED, NAME
    folder = Path(str(name)).expanduser()
    if not folder.is_dir() and not _HUB_ID.fullmatch(str(name)):
        raise UserError(f"--model {name} is not a folder, nor an id of the Hub such as org/name")
    found, known = (folder, folder.resolve().name) if folder.is_dir() else (_fetched(str(name)), str(name))
    if (found / "adapter_config.json").is_file():
        raise UserError(
            f"--model {name} holds a LoRA adapter, not a model: merge it with python -m training merge {found} --out "
            "DIR and give that folder, let python -m training serve do both, or serve it beside its base with the "
            "server's --lora-adapters"
        )
    return found, known


def adapter_folder(source: str) -> Path:
    """The folder of a LoRA adapter: a local one, or ID[@REVISION] fetched to the local cache.

    Raises UserError and Failure as `chosen` does.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    name, _, revision = source.partition("@")
    if not _HUB_ID.fullmatch(name):
        raise UserError(
            f"adapter {source} is not a folder, nor an id of the Hub such as org/name or org/name@revision"
        )
    return _fetched(name, revision or None, "adapter")


def _fetched(name: str, revision: str | None = None, what: str = "--model") -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.safetensors", "*.jinja", "tokenizer*", "*.model", "merges.txt", "vocab.txt"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except (HFValidationError, HfHubHTTPError) as error:
        raise UserError(f"{what} {name!r}: no such folder, and not to be had from the Hub: {error}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise Failure(f"{what} {name!r}: no such folder, and the Hub cannot be reached: {error}") from error
