# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2. Your own pictures in ten minutes
#
# You have pictures in folders, one folder for each class. At the end of this notebook you have a model that tells the
# classes apart, a report of how well it does so, and a file that other programs can use.
#
# With the small pictures that are made here it takes a minute; with your own, as long as you allow.

# %%
# Where resnets is installed, nothing happens here. On Colab this installs it.
try:
    import resnets
except ModuleNotFoundError:
    # %pip install -q 'resnets[onnxruntime]'
    import resnets

# %%
from pathlib import Path

from IPython.display import Image, display
from PIL import Image as Picture
from sklearn.datasets import load_digits

# %% [markdown]
# ## A folder of classes
#
# **Put your folder here.** It looks like this: `my_pictures/cats/*.jpg`, `my_pictures/dogs/*.jpg`, and so on.

# %%
FOLDER = Path("my_pictures")
LENGTH = {"epochs": 5}  # for your own pictures: {"time": "10m"}

# %% [markdown]
# If there is no such folder, the next cell makes one, so that you can try all that follows: written digits, 60 pictures
# of each of four classes. It puts two faults into it, as real folders have them: a file that is no picture, and the
# same picture twice.

# %%
NAMES = {1: "one", 2: "two", 3: "three", 4: "four"}
FAULTS = [FOLDER / "one" / "broken.png", FOLDER / "one" / "again.png"]
if not FOLDER.exists():
    digits = load_digits()
    for number, name in NAMES.items():
        (FOLDER / name).mkdir(parents=True)
        for count, pixels in enumerate(digits.images[digits.target == number][:60]):
            ink = Picture.fromarray((255 - 15 * pixels).astype("uint8"))
            ink.resize((32, 32), Picture.Resampling.BICUBIC).save(FOLDER / name / f"{count:02}.png")
    FAULTS[0].write_text("this is no picture")
    FAULTS[1].write_bytes((FOLDER / "one" / "00.png").read_bytes())

# %%
print(*sorted(path.name for path in FOLDER.iterdir()))

# %% [markdown]
# The names of the folders are the names of the classes. No list and no label file is needed.

# %% [markdown]
# ## Look before you train
#
# `resnets data check` reads every file and names what would harm the training. (`2> /dev/null` hides its progress bar.)

# %%
# !resnets data check {FOLDER} 2> /dev/null

# %% [markdown]
# It names each fault, and what to do. Of a picture that is there twice one copy may land in training and the other
# in validation, which makes the score too good. Remove both files.

# %%
for fault in FAULTS:
    fault.unlink(missing_ok=True)

# %% [markdown]
# ## Train
#
# One line. The network, the size of the pictures and all other settings are chosen for the data. The figure grows while
# it trains.

# %%
run = resnets.train(FOLDER, **LENGTH, seed=0)

# %% [markdown]
# The words above the figure say what was found: the classes, how many pictures are kept for validation, and the
# network. `run` itself is a short summary, with a row for each epoch.

# %%
run

# %% [markdown]
# The validation pictures took no part in the learning. So their score tells how good the model will be on new pictures,
# and with so few of them it tells it roughly.

# %%
result = resnets.evaluate(run.model, FOLDER)
low, high = result["top1_interval"]
print(
    f"{result['top1']:.0%} of {result['num_images']} pictures are right; with 95% confidence between {low:.0%} and {high:.0%}"
)

# %% [markdown]
# ## The report
#
# All of the run is in one folder. `report.html` is a page with everything: open it in a browser.

# %%
print(*sorted(path.name for path in run.path.iterdir()), sep="  ")

# %% [markdown]
# Two of its figures. First the confusion matrix: rows are what is true, columns are what the model answers. What is not
# on the diagonal is a mistake.

# %%
display(Image(filename=run.path / "plots" / "confusion.png", width=420))

# %% [markdown]
# Then the mistakes themselves, if there are any. Looking at them teaches more than any number.

# %%
mistakes = run.path / "plots" / "errors.png"
if mistakes.exists():  # it is not there where all answers are right
    display(Image(filename=mistakes))

# %% [markdown]
# ## Predict
#
# Give the model some files.

# %%
files = [sorted(folder.glob("*.*"))[-1] for folder in sorted(FOLDER.iterdir())]
for row in resnets.predict(run.model, files):
    print(f"{row['path']:<28} {row['label']:<8} {row['probability']:.0%}")

# %% [markdown]
# The probability says how sure the model is. It has been made honest on the validation pictures: of the answers with
# 80%, about 80% should be right.

# %% [markdown]
# ## Export
#
# ONNX is a format that many programs can run, without Python and without torch. The file is compared with the model
# before it is written.

# %%
exported = resnets.export(run.path, format="onnx")
print(exported["file"])
print(f"{exported['equal']:.1%} of {exported['num_images']} answers are those of the model")

# %% [markdown]
# `resnets` itself can use it, too. The answers must be the same.

# %%
answers = [row["label"] for row in resnets.predict(run.model, files)]
assert [row["label"] for row in resnets.predict(exported["file"], files)] == answers

# %% [markdown]
# ## What next
#
# - Put your own folder at the top, with `LENGTH = {"time": "10m"}`, and run all again.
# - Fewer than a hundred pictures in a class? Start from weights that have seen other pictures: notebook 4.
# - `resnets train my_pictures --time 10m` does the same in a terminal.
