"""Which model the embedded server serves: the shipped one, a folder, or a Hub id fetched to the local cache."""

from __future__ import annotations

from pathlib import Path

from synthesis.errors import Failure, UserError

NAME = "parley-embedded"
SHIPPED = Path(__file__).parent / "embedded"


def model_folder(name: str | None) -> Path:
    """The folder of `name`: None or "embedded" for the shipped model.

    A Hub id is downloaded to the Hugging Face cache: safetensors and tokenizer files only, never code or pickles.
    Raises UserError for an id that does not exist, Failure when the Hub cannot be reached.
    """
    if name in (None, "embedded", NAME):
        return SHIPPED
    folder = Path(str(name)).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(name), allow_patterns=["*.json", "*.safetensors", "*.jinja", "tokenizer*"]))
    except (HFValidationError, HfHubHTTPError) as error:
        raise UserError(f"--model {name!r}: no such folder, and not to be had from the Hub: {error}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise Failure(f"--model {name!r}: no such folder, and the Hub cannot be reached: {error}") from error
