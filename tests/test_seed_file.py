"""The seed file: each shard sees its own seeds, in order, and only those that it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import UserError
from synthesis.outcomes import Shard
from synthesis.recipe import Seed
from synthesis.seed_file import SeedFile
from synthesis.storage import write_jsonl

ids = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), unique=True, max_size=20)


@given(ids, st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_seed_is_in_one_shard(
    tmp_path_factory: pytest.TempPathFactory, given_: list[str], shards: int, rng
) -> None:
    path = tmp_path_factory.mktemp("seeds") / "seeds.jsonl"
    seeds = [Seed(id_, {"said": id_ * 2}) for id_ in sorted(given_)]
    write_jsonl(path, [{"id": seed.id, "content": seed.content} for seed in seeds])
    files = [SeedFile(path, Shard(index, shards)) for index in range(shards)]
    found = [[seed for _, seed in file.at(range(len(file)))] for file in files]
    assert all(shard == [seed for seed in seeds if seed in shard] for shard in found), "in order"
    assert sorted((seed.id for shard in found for seed in shard), key=str) == [seed.id for seed in seeds]
    places = rng.sample(range(len(files[0])), len(files[0]) // 2)
    assert list(files[0].at(places)) == [(place, found[0][place]) for place in places]


def test_with_one_shard_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"id": "a", "content": {}}\ndamaged\n{"id": "c", "content": {}}\n')
    file = SeedFile(path, Shard())
    assert [seed.id for _, seed in file.at([0, 2])] == ["a", "c"]
    with pytest.raises(UserError, match=r"seeds\.jsonl, byte 27: not JSON"):
        list(file.at([1]))
