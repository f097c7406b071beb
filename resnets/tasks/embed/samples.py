"""Batches of P identities with K pictures each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from resnets.data.batches.image_level import PictureSamples
from resnets.data.randomness import mix_seed
from resnets.data.types import Batch, Part, Read


@dataclass(kw_only=True)
class IdentitySamples(PictureSamples):
    """The pictures of a split, in training K of each identity after each other; see `PictureSamples`.

    A batch of P K pictures then has P identities, or fewer where some have many more pictures than others. An identity of n
    pictures comes round(n / K) times an epoch, at least once, with as many as that takes of its pictures, drawn anew each
    epoch; where it has fewer than K some come twice, differently augmented.

    Args:
        per_identity: K; 1: every picture once, in any order.
    """

    per_identity: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._grouped = self.augment is not None and self.per_identity > 1

    def __len__(self) -> int:
        return self.per_identity * int(self._rounds().sum()) if self._grouped else super().__len__()

    def _rounds(self) -> np.ndarray:
        """How often each identity comes in an epoch; 0 of those without a picture."""
        counts = np.bincount(self.split.targets.values)
        return np.where(counts > 0, np.maximum(1, np.rint(counts / self.per_identity)), 0).astype(int)

    def order(self, epoch: int) -> np.ndarray:
        if not self._grouped:
            return super().order(epoch)
        random = np.random.default_rng(mix_seed(self.seed, epoch, "order"))
        codes, rounds = self.split.targets.values, self._rounds()
        pictures, keys = [], []
        for identity in np.flatnonzero(rounds):
            own, num = random.permutation(np.flatnonzero(codes == identity)), rounds[identity]
            pictures.append(np.resize(own, (num, self.per_identity)))
            keys.append((np.arange(num) + random.random(num)) / num)  # its rounds lie evenly over the epoch
        return np.concatenate(pictures)[np.argsort(np.concatenate(keys), kind="stable")].ravel()

    def finish(self, read: Read, part: Part) -> Batch:
        """In evaluation the target is the name of the identity, (N,) of text, for every split has other ones."""
        batch = super().finish(read, part)
        if self.augment is not None:
            return batch
        return batch._replace(targets=self.split.targets.by_name[batch.indices.numpy()])


def plain(samples: IdentitySamples) -> IdentitySamples:
    """The same in any order."""
    return dataclasses.replace(samples, per_identity=1)
