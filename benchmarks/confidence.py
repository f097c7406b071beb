"""Confidence, and saying no, of a model of CIFAR-10: what is promised on one half of the official test split, and what the
other half and pictures of other kinds show.

    python benchmarks/confidence.py [--model resnet56_cifar10] [--fashion FILE.gz] [--scenes camvid/val] [--halves 20]
                                    [--data-dir DIR] [--logits DIR] [--out FILE.md]

Over random halves of the 10,000 pictures everything is decided on one half, as at the end of a training, and judged on the
other: the temperature, abstention at 2, 1 and 0.5 % errors among answers, prediction sets, pictures unlike the training data.
These are Fashion-MNIST's test pictures (its idx file, as Debian's dataset-fashion-mnist has it), squares of road scenes that
are mostly of one class other than cars (`transfer.squares`), and noise. Logits are kept in the folder --logits and not computed
again.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from transfer import squares

from resnets.data.pictures.resize import as_image, fit_image, to_array
from resnets.measures import conformal, ood, selective
from resnets.ship.sessions import Session, answering, open_session
from resnets.tasks.classify import confidence

CAR = 8  # of CamVid's classes: CIFAR-10 has automobiles
NUM_NOISE = 2000
RISKS, COVERAGES = (0.02, 0.01, 0.005), (0.9, 0.95, 0.99)


# --- pictures and logits ---


def cifar(session: Session, data_dir: str | None) -> tuple[list[Image.Image], np.ndarray]:
    split = answering(session.header).open_for(session.header, "cifar10", {}, data_dir=data_dir).splits["test"]
    return [as_image(split.images[index], 3) for index in range(len(split))], np.asarray(split.targets.values)


def fashion(file: Path) -> Iterator[Image.Image]:
    content = gzip.decompress(file.read_bytes())
    yield from map(Image.fromarray, np.frombuffer(content, np.uint8)[16:].reshape(-1, 28, 28))


def noise(gaussian: bool) -> Iterator[Image.Image]:
    random, shape = np.random.default_rng(0), (NUM_NOISE, 32, 32, 3)
    pixels = random.normal(127.5, 64, shape).clip(0, 255) if gaussian else random.integers(0, 256, shape)
    yield from map(Image.fromarray, pixels.astype(np.uint8))


def logits_of(session: Session, images: Iterable[Image.Image], size: int = 250) -> np.ndarray:
    rule = session.header.preprocess
    pixels = np.stack([to_array(fit_image(as_image(image, 3), rule), rule) for image in images])
    return np.concatenate([session.run(pixels[start : start + size]) for start in range(0, len(pixels), size)])


def kept(folder: Path, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    path = folder / f"{name}.npy"
    if not path.exists():
        np.save(path, make())
    return np.load(path)


# --- other scores of being unlike, to compare with ---


def mahalanobis(logits: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The squared distance to the nearest class, as in `ood.Reference`, alone."""
    reference = ood.Reference.fit(like[::2])
    assert reference is not None
    return ood.distance(logits, reference.means, reference.precision)


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "energy and distance (chosen)": lambda logits, like: ood.unlikeness(logits, ood.Reference.fit(like[::2])),
    "energy": lambda logits, like: ood.energy(logits),
    "maximum logit": lambda logits, like: -logits.max(1),
    "maximum probability": lambda logits, like: selective.doubts(logits),
    "Mahalanobis": mahalanobis,
}

# --- tables ---


def spread(values: Iterable[float], scale: float = 100, digits: int = 2) -> str:
    found = np.array([value for value in values if value is not None and np.isfinite(value)])
    return f"{scale * found.mean():.{digits}f} ± {scale * found.std(ddof=1):.{digits}f}" if len(found) > 1 else "-"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["--"] * len(head), *rows])


def halves(num: int, times: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for seed in range(times):
        order = np.random.default_rng(seed).permutation(num)
        yield order[: num // 2], order[num // 2 :]


def temperatures(logits: np.ndarray, truth: np.ndarray, times: int) -> str:
    found = []
    for one, other in halves(len(truth), times):
        result = confidence.result(logits[other], truth[other], confidence.decide(logits[one], truth[one], {}))
        found.append((result["temperature"], result["ece_before"], result["ece"]))
    each = list(zip(*found, strict=True))
    return table(["temperature", "ECE before, %", "ECE after, %"], [[spread(each[0], 1, 3), spread(each[1]), spread(each[2])]])


def abstention(logits: np.ndarray, truth: np.ndarray, times: int) -> str:
    """Whether a bound holds is asked twice: of the errors among answers of the other half, and of all 10,000, which the limit
    would meet if it were used on all; the halves are not independent, so that one with few errors leaves many to the other."""
    wrong, doubt, rows = logits.argmax(1) != truth, selective.doubts(logits), []
    for risk in RISKS:
        shares, errors, broken, broken_all, none = [], [], 0, 0, 0
        for one, other in halves(len(truth), times):
            limit = selective.limit(selective.tabulate(doubt[one], wrong[one]), risk)
            if limit is None:
                none += 1
                shares.append(0.0)
                continue
            given = doubt[other] <= limit
            shares.append(given.mean())
            errors.append(wrong[other][given].mean())
            broken += errors[-1] > risk
            broken_all += wrong[doubt <= limit].mean() > risk
        holds = f"{times - broken} of {times}", f"{times - broken_all} of {times}"
        rows.append([f"{100 * risk:g} %", spread(errors), *holds, spread(shares, digits=1), str(none)])
    head = ["at most", "errors among answers, %", "holds on the other half", "holds on all", "answered, %", "no limit found"]
    return table(head, rows)


def prediction_sets(logits: np.ndarray, truth: np.ndarray, times: int) -> str:
    """Thresholds on the probability (chosen), and on the sum of the likelier ones (adaptive sets, APS: Romano et al. 2020,
    arXiv 2006.02544, without randomisation)."""
    p, rows = confidence.softmax(logits), []
    order = np.argsort(-p, 1)
    sums = np.empty_like(p)
    np.put_along_axis(sums, order, np.cumsum(np.take_along_axis(p, order, 1), 1), 1)
    every = np.arange(len(truth))
    for coverage in COVERAGES:
        figures: dict[str, list[tuple[float, float]]] = {"probability": [], "APS": []}
        for one, other in halves(len(truth), times):
            least = conformal.threshold(conformal.tabulate(p[every, truth][one]), coverage)
            k = int(np.ceil((len(one) + 1) * coverage - 1e-9))
            most = np.sort(sums[every, truth][one])[k - 1]
            for name, inside in (("probability", conformal.sets(p[other], least)), ("APS", sums[other] <= most)):
                figures[name].append((inside[np.arange(len(other)), truth[other]].mean(), inside.sum(1).mean()))
        for name, each in figures.items():
            held, size = zip(*each, strict=True)
            rows.append([f"{100 * coverage:g} %", name, spread(held), spread(size, 1)])
    return table(["asked for", "score", "sets that hold the truth, %", "classes a set"], rows)


def unlike(logits: np.ndarray, others: dict[str, np.ndarray], times: int) -> str:
    rows = []
    for name, score in SCORES.items():
        false = []
        figures: dict[str, list[tuple[float, float, float]]] = {other: [] for other in others}
        for one, other in halves(len(logits), times):
            like = logits[one]
            # What is fitted takes every second picture, and the limit comes from the others.
            known, limit = score(logits[other], like), ood.threshold(score(like[1::2], like), 0.01)
            false.append((known > limit).mean())
            for kind, pictures in others.items():
                scores = score(pictures, like)
                figures[kind].append((ood.auroc(known, scores), ood.fpr_at_tpr(known, scores), (scores > limit).mean()))
        cells = (" / ".join(f"{100 * np.mean(values):.1f}" for values in zip(*each, strict=True)) for each in figures.values())
        rows.append([name, *cells, spread(false)])
    return table(["score", *others, "CIFAR-10 called unknown, %"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet56_cifar10")
    parser.add_argument("--fashion", type=Path)
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--halves", type=int, default=20)
    parser.add_argument("--data-dir")
    parser.add_argument("--logits", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    session = open_session(asked.model, device="cpu")
    folder = asked.logits or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    images, truth = cifar(session, asked.data_dir)
    logits = kept(folder, f"{asked.model}_cifar", lambda: logits_of(session, images))
    kinds: dict[str, Callable[[], Iterable[Image.Image]]] = {}
    if asked.fashion:
        kinds["Fashion-MNIST"] = lambda: fashion(asked.fashion)
    if asked.scenes:
        kinds["road scenes"] = lambda: (image for image, kind, _ in squares(asked.scenes) if kind != CAR)
    kinds |= {"uniform noise": lambda: noise(False), "Gaussian noise": lambda: noise(True)}
    others = {
        kind: kept(folder, f"{asked.model}_{kind}", lambda made=made: logits_of(session, made()))
        for kind, made in kinds.items()
    }
    text = "\n\n".join(
        [
            f"## {asked.model}: {100 * (logits.argmax(1) == truth).mean():.2f} % of {len(truth):,} pictures right",
            temperatures(logits, truth, asked.halves),
            abstention(logits, truth, asked.halves),
            prediction_sets(logits, truth, asked.halves),
            "AUROC / FPR at 95 % TPR / called unknown at the threshold for 1 %, all in %; "
            + ", ".join(f"{len(found):,} of {kind}" for kind, found in others.items()),
            unlike(logits, others, asked.halves),
        ]
    )
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
