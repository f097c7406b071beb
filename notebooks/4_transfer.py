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
# # 4. Start from what another network knows, and see what yours looks at
#
# With few pictures, a network cannot learn everything anew. It need not: edges, colours and shapes have been learnt
# before. This is *transfer learning*. In the second half you ask the network where in a picture it looks, and you test
# whether that answer can be trusted.

# %%
# Where resnets is installed, nothing happens here. On Colab this installs it.
try:
    import resnets
except ModuleNotFoundError:
    # %pip install -q 'resnets[explain]'
    import resnets

# %%
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image as Picture
from sklearn.datasets import load_digits, load_sample_images

# %% [markdown]
# ## A network that has seen 50,000 pictures
#
# Two trained networks come with the package. They know the ten classes of CIFAR-10. The larger one is
# `resnet56_cifar10`.

# %%
WEIGHTS = "resnet20_cifar10"
resnets.load(WEIGHTS)

# %% [markdown]
# Show it a photograph of something else: a temple, which comes with scikit-learn.

# %%
temple, flower = load_sample_images().images
(answer,) = resnets.load(WEIGHTS).predict([temple])
print("the likeliest of its ten classes:", answer["label"])
Picture.fromarray(temple).resize((320, 213))

# %% [markdown]
# It has no class for a temple, so its answer is wrong, whatever it is. But inside, before its last layer, it sees edges
# and shapes. These can be used for other classes.

# %% [markdown]
# ## Pictures of our own
#
# We make pictures for which we know what matters: a digit, somewhere on a piece of a photograph. The class is the
# digit. The background says nothing.


# %%
def picture(digit, rng):
    """A digit of 8 x 8 pixels on a piece of a photograph, as uint8 (32, 32, 3); and its box: left, top, right, bottom."""
    photograph = temple if rng.random() < 0.5 else flower
    top, left = rng.integers(0, photograph.shape[0] - 64), rng.integers(0, photograph.shape[1] - 64)
    background = Picture.fromarray(photograph[top : top + 64, left : left + 64]).resize((32, 32))
    shape = Picture.fromarray((digit * 15).astype(np.uint8)).resize((16, 16), Picture.Resampling.BICUBIC)
    x, y = (int(place) for place in rng.integers(0, 17, 2))
    background.paste((255, 240, 60), (x, y), shape)
    return np.asarray(background), (x, y, x + 15, y + 15)


# %%
CLASSES = (0, 1, 4, 7)
EACH = {"train": 40, "val": 20, "test": 30}  # pictures of each class

rng, digits = np.random.default_rng(0), load_digits()
data, boxes = {}, []
for split, start in (("train", 0), ("val", 60), ("test", 90)):
    shapes = [(name, digits.images[digits.target == name][start + i]) for i in range(EACH[split]) for name in CLASSES]
    made = [picture(shape, rng) for _, shape in shapes]
    data[split] = np.stack([pixels for pixels, _ in made]), [str(name) for name, _ in shapes]
    boxes = [box for _, box in made]  # of the test pictures, at the end

# %%
figure, panels = plt.subplots(1, 8, figsize=(9, 1.5), layout="constrained")
for axes, pixels, label in zip(panels, *data["train"], strict=False):
    axes.imshow(pixels)
    axes.set(xticks=[], yticks=[], title=label)
plt.show()

# %% [markdown]
# 160 pictures to learn from: few. The same digit never comes twice, and the test pictures are used once, at the end.

# %% [markdown]
# ## Three ways
#
# **1. From nothing.** A network with random weights.

# %%
STEPS = 60
runs = {}
runs["from nothing"] = resnets.train(data, model="resnet20_cifar", steps=STEPS, batch_size=32, seed=0)

# %% [markdown]
# **2. A probe.** All layers stay as they are; only a new last layer is fitted. It takes seconds, and tells how useful
# the old features are.

# %%
runs["probe"] = resnets.train(data, weights=WEIGHTS, probe=True, seed=0)

# %% [markdown]
# **3. Fine-tuning.** The network starts from the old weights, with a new last layer, and all of its layers go on
# learning.

# %%
runs["fine-tuned"] = resnets.train(data, weights=WEIGHTS, steps=STEPS, batch_size=32, seed=0)

# %% [markdown]
# Now the test pictures, which none of the three has seen.

# %%
for how, run in runs.items():
    low, high = run.result["top1_interval"]
    print(f"{how:<14}{run.result['top1']:4.0%} right, with 95% confidence between {low:.0%} and {high:.0%}")

# %%
assert runs["fine-tuned"].result["top1"] > runs["from nothing"].result["top1"]
assert runs["fine-tuned"].result["top1"] > runs["probe"].result["top1"]

# %% [markdown]
# From nothing, so few pictures and so short a training are not enough. The probe is better at once, although it was made
# for airplanes and frogs: its features are of use. Fine-tuning is best, as it may also change what does not suit. The
# intervals say how far another set of test pictures could give another number.

# %% [markdown]
# ## Where does it look?
#
# Grad-CAM colours the places that speak for an answer. In yellow they speak for it most. The box shows where the digit
# truly is; the network was never told.

# %%
model = runs["fine-tuned"].model
pictures, truth = data["test"]
chosen = range(8)
report = resnets.explain(model, [pictures[i] for i in chosen], method="gradcam")

# %%
figure, rows = plt.subplots(2, 8, figsize=(9, 2.6), layout="constrained")
for (above, below), i, found in zip(rows.T, chosen, report.explanations, strict=True):
    left, top, right, bottom = boxes[i]
    above.imshow(pictures[i])
    above.set_title(f"{truth[i]}: {found.label}", fontsize=9)
    below.imshow(found.values, cmap="inferno")
    below.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color="cyan", linewidth=1)
for axes in rows.flat:
    axes.set(xticks=[], yticks=[])
figure.suptitle("truth: answer", fontsize=9)
plt.show()

# %% [markdown]
# Looking at eight pictures, one sees what one hopes to see. So count, over more pictures: how often does the brightest
# place lie in the box? And how often would a random place?


# %%
def hits(report):
    """How many of the maps have their greatest value in the box of their picture."""
    count = 0
    for found, (left, top, right, bottom) in zip(report.explanations, boxes, strict=False):
        y, x = np.unravel_index(found.values.argmax(), found.values.shape)
        count += left <= x <= right and top <= y <= bottom
    return count


# %%
many = pictures[:60]
report = resnets.explain(model, list(many), method="gradcam", trust=False)
print(f"in the box: {hits(report)} of {len(many)}; by chance about {len(many) * 16 * 16 / 32**2:.0f}")

# %%
assert hits(report) > 2 * len(many) * 16 * 16 / 32**2

# %% [markdown]
# The network looks at the digits, and was never told to.

# %% [markdown]
# ## Can such a map be trusted?
#
# A map should depend on what the network has *learnt*. So give the network random weights, and draw the maps again. If
# they stay the same, they show the picture and not the network. This is the *sanity check* of Adebayo and others
# (2018). `explain` makes it.

# %%
checked = {}
for method in ("gradcam", "guided_backprop"):
    trust = resnets.explain(model, list(pictures[:8]), method=method).trust
    checked[method] = trust["similarity"]
    print(f"{method:<16} likeness of the maps: {trust['similarity']:5.2f}   depends on what was learnt: {trust['depends']}")

# %% [markdown]
# The likeness goes from 0, another map altogether, to 1, the same map. Grad-CAM's maps are gone when what was learnt is
# gone, so they showed something of it. Those of guided backpropagation stay more alike: they show edges of the picture
# to a good part, whatever the network has learnt. They look convincing all the same; that is why one checks.

# %%
assert checked["gradcam"] < checked["guided_backprop"]

# %% [markdown]
# ## What next
#
# - Set `WEIGHTS = "resnet56_cifar10"`, or more pictures by `EACH`: how does the gap between the three ways change?
# - Let all zeros lie on the temple and all others on the flower. Where does the network look then?
