"""Real clients against the Hub of HF_ENDPOINT, as a program: upload, load, stream, and print the results as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import HfApi, HfFileSystem, snapshot_download
from huggingface_hub.errors import HfHubHTTPError


def main(scratch: Path) -> None:
    api = HfApi()
    told: dict[str, object] = {"name": api.whoami()["name"]}
    told["created"] = [str(api.create_repo("org/chats", repo_type="dataset", exist_ok=True)) for _ in range(2)]

    data = DatasetDict(
        {
            split: Dataset.from_dict({"text": [f"{split} {n}" for n in range(rows)]})
            for split, rows in (("train", 5), ("test", 2))
        }
    )
    data.push_to_hub("org/chats")
    data.push_to_hub("org/chats", config_name="more", revision="branch/one")
    loaded = load_dataset("org/chats")
    told["rows"] = {split: part.num_rows for split, part in loaded.items()}
    told["branch"] = load_dataset("org/chats", "more", split="test", revision="branch/one")["text"][:]
    told["streamed"] = [row["text"] for row in load_dataset("Org/Chats", split="train", streaming=True)]

    model = scratch / "model"
    (model / "deep").mkdir(parents=True)
    (model / "config.json").write_text('{"model_type": "none"}')
    (model / "deep" / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    api.create_repo("me/model", private=True)
    api.upload_folder(repo_id="me/model", folder_path=model)
    api.upload_file(path_or_fileobj=b"# Card\n", path_in_repo="NOTES.md", repo_id="me/model", create_pr=True)
    copy = Path(snapshot_download("me/model", local_dir=scratch / "copy"))
    told["copied"] = sorted(
        path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file() and ".cache" not in path.parts
    )
    told["same"] = (copy / "deep/model.safetensors").read_bytes() == (model / "deep/model.safetensors").read_bytes()
    told["listed"] = [item.path for item in api.list_repo_tree("me/model", recursive=True, expand=True)]
    told["pull"] = api.list_repo_files("me/model", revision="refs/pr/1")
    told["info"] = [item.path for item in api.get_paths_info("me/model", ["deep", "config.json", "absent"])]
    with HfFileSystem().open("me/model/deep/model.safetensors") as file:
        file.seek(300)
        told["ranged"] = file.read(4).hex()
    api.create_tag("me/model", tag="v1")
    told["tags"] = [ref.name for ref in api.list_repo_refs("me/model").tags]
    told["commits"] = [commit.title for commit in api.list_repo_commits("me/model")]
    try:
        api.create_repo("other/model")
    except HfHubHTTPError as error:
        told["foreign"] = error.response.status_code
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
