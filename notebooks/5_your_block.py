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
# # 5. A block of your own, and whether it is better
#
# You have an idea for a better block. Here you write it, give it a name, train a network of it, and compare it with the
# standard one in such a way that you can believe the answer.

# %%
# Where resnets is installed, nothing happens here. On Colab this installs it.
try:
    import resnets
except ModuleNotFoundError:
    # %pip install -q resnets
    import resnets

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from resnets.verbs.report.several import compare

# %% [markdown]
# ## The idea
#
# The standard block is `relu(x + branch(x))`. Ours has a scale for each channel, `relu(x + scale * branch(x))`. It
# begins at 0.1 and is learnt. So at first each block changes its input only a little. (This is *LayerScale*, from a
# paper of [2021](https://arxiv.org/abs/2103.17239) on transformers.)


# %%
@resnets.register("block", "scaled")
class ScaledBlock(nn.Module):
    """relu(shortcut(x) + scale * branch(x)), with a learnt scale for each channel."""

    def __init__(self, plan, dims):
        super().__init__()
        self.stride, self.new = plan.stride, plan.out_chans - plan.in_chans
        self.branch = nn.Sequential(
            nn.Conv2d(plan.in_chans, plan.out_chans, 3, plan.stride, padding=1, bias=False),
            nn.BatchNorm2d(plan.out_chans),
            nn.ReLU(),
            nn.Conv2d(plan.out_chans, plan.out_chans, 3, padding=1, bias=False),
            nn.BatchNorm2d(plan.out_chans),
        )
        self.scale = nn.Parameter(torch.full((plan.out_chans, 1, 1), 0.1))

    def forward(self, x):
        shortcut = x[:, :, :: self.stride, :: self.stride]  # where the block makes the picture smaller, so does its shortcut
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.new))  # where the block adds channels, they are zeros
        return (shortcut + self.scale * self.branch(x)).relu()


# %% [markdown]
# `plan` says what this block has to be in the network: its channels and its stride. `register` has put it into the
# table of blocks, beside the standard one, which is called `basic`.

# %%
standard = resnets.get_spec("resnet20_cifar")
ours = resnets.get_spec("resnet20_cifar", block="scaled")
print(f"basic  {standard.num_params:,} parameters")
print(f"scaled {ours.num_params:,} parameters")

# %% [markdown]
# The scales are all that is new. This matters: a network that is larger as well would not be a fair comparison.

# %% [markdown]
# ## Train both, with three seeds each
#
# A seed draws the first weights and the order of the pictures. One run is one draw, so a single run of each says
# little.

# %%
SETTINGS = {"data": "digits", "model": "resnet20_cifar", "epochs": 4, "seeds": 3}

# %%
standard = resnets.repeat(**SETTINGS)

# %%
ours = resnets.repeat(**SETTINGS, block="scaled")

# %% [markdown]
# Each of the two holds three runs: a row for each seed, and below them mean and standard deviation.

# %%
ours

# %% [markdown]
# Draw how the validation score grows in all six.

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for repeats, name, colour in ((standard, "basic", "#0072B2"), (ours, "scaled", "#D55E00")):
    for history in repeats.histories.values():
        axes.plot(history["epoch"], [100 * top1 for top1 in history["val_top1"]], color=colour, label=name)
        name = "_"  # one entry in the legend is enough
axes.set(xlabel="epoch", ylabel="validation accuracy, %", title="three seeds each", xticks=history["epoch"])
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Lines of one colour differ by the seed alone. If the colours lie among each other, the seeds matter more than the
# block.

# %% [markdown]
# ## Is it better?
#
# `compare` reads the finished runs. First, over the seeds: the difference of the two means, by Welch's t-test.

# %%
found = compare([standard.path, ours.path])
for group, name in zip(found["groups"], ("basic", "scaled"), strict=True):
    print(f"{name:<7} {group['mean']:.1%} ± {group['deviation']:.1%} of the test pictures are right")

# %%
group = found["groups"][1]
low, high = group["interval"]
print(f"scaled less basic: {100 * group['difference']:+.1f} points")
print(f"with 95% confidence between {100 * low:+.1f} and {100 * high:+.1f}")
print("a difference is shown" if low > 0 or high < 0 else "no difference is shown: the interval holds 0")

# %% [markdown]
# An interval that holds 0 does not mean that the blocks are equal. It means that three seeds cannot tell.

# %% [markdown]
# Second, picture by picture. Runs with the same seed were tested on the same pictures. So one can count for how many of
# these only one of the two is right. This is a *paired* comparison: pictures that are easy or hard for both do not blur
# it.

# %%
for seed in range(3):
    pair = compare([standard.path / f"seed{seed}", ours.path / f"seed{seed}"])["differences"][0]
    low, high = pair["interval"]
    print(f"seed {seed}: {100 * pair['difference']:+.1f} points, between {100 * low:+.1f} and {100 * high:+.1f}")

# %% [markdown]
# Each line is about these two runs: would they differ in the same way on other pictures? Only all seeds together say
# something about the *block*. If the signs differ from seed to seed, believe none of them alone.

# %%
assert resnets.load(ours.path / "seed0").spec.block == "scaled"

# %% [markdown]
# ## What a file with your block needs
#
# A saved model says which block it needs. To use it elsewhere, put the class into a file, such as `my_block.py`, and
# name that: `resnets predict RUN photo.jpg --plugin my_block.py`. Code is never in the saved file, so that opening a
# stranger's file is safe.

# %% [markdown]
# ## What next
#
# - Let the scale begin at 0, or at 1. Which is better, and do three seeds show it?
# - Take more steps, or `"data": "cifar10"` on a GPU. Short trainings favour what learns quickly.
# - Write another idea. `docs/plugins.md` lists what can be registered: norms, attentions, stems, heads, losses and
#   optimisers.
