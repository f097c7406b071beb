"""Vectors laid out in a plane, so that neighbours stay neighbours. Numbers only."""

from __future__ import annotations

import numpy as np

LEAST = 100  # vectors from which t-SNE has neighbours to keep; fewer are laid out by their two principal components
PERPLEXITY = 30.0
COMPONENTS = 50


def in_plane(vectors: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Places (N, 2) from 0 to 1 of vectors (N, D), and by what: principal components, and from them t-SNE (van der Maaten and
    Hinton 2008) by scikit-learn. UMAP would be as good to look at, and would bring a second compiler of neighbour graphs along.

    Distances between far points mean nothing; the same vectors and seed give the same places on the same machine.
    """
    from sklearn.decomposition import PCA

    vectors = np.asarray(vectors, np.float32)
    if len(vectors) < 3 or not vectors.std():
        return np.full((len(vectors), 2), 0.5), "nothing"
    components = min(COMPONENTS if len(vectors) >= LEAST else 2, *vectors.shape)
    places, how = PCA(components, random_state=seed).fit_transform(vectors), "two principal components"
    if len(vectors) >= LEAST and components >= 2:
        from sklearn.manifold import TSNE

        made = TSNE(perplexity=PERPLEXITY, init="pca", learning_rate="auto", random_state=seed, max_iter=500)
        places, how = made.fit_transform(places), "t-SNE"
    places = np.pad(places, ((0, 0), (0, max(0, 2 - places.shape[1]))))[:, :2]
    low, span = places.min(0), np.ptp(places, axis=0)
    return (places - low) / np.where(span > 0, span, 1), how
