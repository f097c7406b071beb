"""Where docs/errors.md says more of an error: its sections, by words of their messages."""

from __future__ import annotations

# The page's place in the repository; once the documentation has an address, that address.
PAGE = "docs/errors.md"

# Anchor of a section -> words that its message alone has.
SECTIONS = {
    "no-such-data": ", and the built-in datasets are",
    "unknown-layout": "not a layout that is known",
    "one-class-only": "the training split has one class only",
    "no-training-split": "no training split, only",
    "class-not-in-train": "but not in train; add training pictures",
    "a-split-or-a-class": "is a split, or a class beside",
    "first-line-of-a-list": "the first line must name the columns path,label",
    "boxes-or-masks": "boxes or masks, which are for --task detect or --task segment",
    "images-elsewhere": "none of its images is in",
    "mask-with-grey-values": "different grey values, as in a mask that was resized",
    "too-many-unreadable-pictures": "cannot be read, and --max-bad allows",
    "run-directory-as-data": "a run directory of resnets; give the data",
    "unknown-network": "no network is called",
    "setting-without-effect": "has no effect here, only with",
    "setting-of-another-task": "has no such setting, only",
    "device-out-of-memory": "is out of memory; use a --batch-size below",
    "not-enough-memory": "not enough memory (",
    "diverged": "the run has diverged",
    "batch-of-one": "batch norm cannot learn from one picture at a time",
    "no-such-device": "is not available; this machine has",
    "run-directory-in-use": "another process trains in it now",
    "nothing-to-resume": "so there is no run to go on with",
    "other-settings-on-resume": "leave that out to go on as it was",
    "no-such-model": "no such file or run directory",
    "class-unknown-to-the-model": "the model does not know",
    "pickle-refused": "a pickle that asks for",
    "normalisation-unknown": "and nothing says how its inputs are normalised",
    "stem-for-larger-images": "its stem is made for 224",
    "runtime-for-other-files": "files; use --runtime",
    "no-token": "no token of the Hugging Face Hub",
    "package-missing": "is not installed: pip install",
    "no-ray-cluster": "no Ray cluster answers at",
    "other-versions-on-a-worker": "has other versions than this process",
    "too-few-cores": "machines now, and each needs one",
    "parts-there-already": "has parts already; go on with them by --resume",
    "parts-of-another-call": ": its parts were made ",
    "blocks-without-rows": "blocks have no rows, for their workers were lost",
}


def pointer(message: str) -> str:
    """The line that says where the page says more of `message`; empty if it has no section of it."""
    return next((f"more: {PAGE}#{anchor}" for anchor, words in SECTIONS.items() if words in message), "")
