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
# # 3. Figure 6 of the paper, small
#
# The best known figure of [the paper](https://arxiv.org/abs/1512.03385) has two panels. On the left are plain networks:
# the deeper, the worse. On the right are residual networks: depth does no harm. Here you draw this figure yourself,
# with small pictures and short trainings.

# %%
# Where resnets is installed, nothing happens here. On Colab this installs it.
try:
    import resnets
except ModuleNotFoundError:
    # %pip install -q resnets
    import resnets

# %%
import matplotlib.pyplot as plt

# %% [markdown]
# ## What is trained
#
# The paper trains on CIFAR-10 for 64,000 steps, with networks of 20, 32, 44, 56 and 110 layers. That takes days without
# a GPU. This is what fits into a minute:

# %%
DATA = "digits"  # the paper: "cifar10"
STEPS = 120  # the paper: 64000
DEPTHS = (20, 56)  # the paper: (20, 32, 44, 56, 110)
FAMILIES = {"plain": "plain{}_cifar", "residual": "resnet{}_cifar"}

# %% [markdown]
# Each network is trained with the same settings and the same seed, so that nothing else differs.

# %%
runs = {}
for family, name in FAMILIES.items():
    for depth in DEPTHS:
        runs[family, depth] = resnets.train(data=DATA, model=name.format(depth), steps=STEPS, seed=0)

# %% [markdown]
# Above are the live plots of all trainings, one after the other. Now put them side by side.

# %% [markdown]
# ## The figure
#
# The paper draws the *error*: the part of the pictures that is wrong, so lower is better. Dashed lines are training
# pictures and bold lines are pictures that were kept apart.

# %%
COLOURS = ["#56B4E9", "#0072B2", "#009E73", "#D55E00", "#222222"]  # one for each depth
figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for axes, family in zip(panels, FAMILIES, strict=True):
    for depth, colour in zip(DEPTHS, COLOURS, strict=False):
        history = runs[family, depth].history
        error = {split: [100 * (1 - top1) for top1 in history[f"{split}_top1"]] for split in ("train", "val")}
        axes.plot(history["step"], error["train"], "--", color=colour, linewidth=1)
        axes.plot(history["step"], error["val"], color=colour, linewidth=2.5, label=f"{depth} layers")
    axes.set(xlabel="steps", title=f"{family} networks", ylim=(0, 100))
    axes.legend(frameon=False)
panels[0].set_ylabel("error, %")
plt.show()

# %% [markdown]
# On the left the line of the deep network lies above that of the shallow one, and hardly falls. On the right both fall.

# %%
errors = {network: 1 - run.history[-1]["train_top1"] for network, run in runs.items()}
for (family, depth), error in errors.items():
    print(f"{family:<10}{depth:>3} layers: {error:.0%} of the training pictures are wrong")

# %%
shallow, deep = DEPTHS[0], DEPTHS[-1]
assert errors["plain", deep] > errors["plain", shallow]
assert errors["residual", deep] < errors["plain", deep]

# %% [markdown]
# This is the *degradation problem*: the deep plain network has a higher error on its own training pictures, although it
# could copy the shallow one and leave its other layers without effect. And this is the answer: at the same depth,
# shortcuts remove most of it.

# %% [markdown]
# ## What so short a training does not show
#
# In the paper the deeper residual network is also *better* than the shallow one. Compare the two residual networks
# above: after so few steps, this need not be so. Depth pays only after a long training.
#
# And one run is one draw. Another seed gives other lines. Before you believe a difference, train with several seeds:
# notebook 5 does so.

# %% [markdown]
# ## The whole item as one command
#
# `resnets` has the paper's figures and tables as commands, with the paper's settings, several seeds, and a verdict for
# each claim: *holds*, *fails*, or *inconclusive*. On a GPU, or with an hour of patience, run this in a cell:
#
#     !resnets paper fig6 --scale small
