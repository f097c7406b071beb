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
# # 1. What a residual network is
#
# More layers should give better answers. In 2015 He and others saw that, without help, this is not so: a very deep
# network was worse than a shallow one, even on the pictures that it was trained on. Their help was one small addition.
# You will build it, train a network with it and one without it, and look inside both.
#
# Run the cells from top to bottom. All of them together take about two minutes on a laptop; a GPU is not needed.

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
from torch import nn

DATA = "digits"  # 1,797 small pictures, which come with scikit-learn
STEPS = 120  # steps of training

# %% [markdown]
# With a GPU, come back to the cell above at the end, and try `DATA = "cifar10"` and `STEPS = 1500`.

# %% [markdown]
# ## One block
#
# Two convolutions, with a ReLU between them, make a *branch*. It takes a picture with 8 channels and gives one of the
# same size.

# %%
branch = nn.Sequential(
    nn.Conv2d(8, 8, 3, padding=1, bias=False),
    nn.ReLU(),
    nn.Conv2d(8, 8, 3, padding=1, bias=False),
)


# %% [markdown]
# A **plain** block gives what the branch gives. A **residual** block adds its input to that. This `x +` is the whole
# idea; it is called the *shortcut*.


# %%
def plain(x):
    return branch(x).relu()


def residual(x):
    return (x + branch(x)).relu()


# %% [markdown]
# What does each do if the branch has learnt nothing? Set all its weights to 0, and see.

# %%
for weight in branch.parameters():
    nn.init.zeros_(weight)
x = torch.rand(1, 8, 16, 16)
print("plain block:    largest value", plain(x).max().item())
print("residual block: same as its input?", torch.equal(residual(x), x))

# %% [markdown]
# The plain block has lost the picture. The residual block hands it on unchanged. So a residual network can be made
# deeper without harm: a block that has nothing to add can leave the picture as it is. The branch only learns the
# *difference* to its input, the residual.

# %% [markdown]
# ## Two networks of the same depth
#
# `resnets` has the networks of the paper by name. Here are two of 56 layers, one without shortcuts and one with them.

# %%
NETWORKS = {"plain": "plain56_cifar", "residual": "resnet56_cifar"}
for kind, name in NETWORKS.items():
    spec = resnets.get_spec(name)
    print(f"{kind:<10}{spec.num_layers} layers  {spec.num_params:,} parameters")

# %%
assert resnets.get_spec("plain56_cifar").num_params == resnets.get_spec("resnet56_cifar").num_params

# %% [markdown]
# They have the same number of parameters, since an addition has none. Whatever differs from here on is due to the
# shortcuts.

# %% [markdown]
# ## Train both
#
# First the plain network. The figure grows while it trains.

# %%
runs = {}
runs["plain"] = resnets.train(data=DATA, model=NETWORKS["plain"], steps=STEPS, seed=0)

# %% [markdown]
# (In the first epochs the validation loss may be very large: batch norm's running means are not right yet. Look at the
# last epochs.) Then the residual network, with the same pictures, the same settings and the same seed.

# %%
runs["residual"] = resnets.train(data=DATA, model=NETWORKS["residual"], steps=STEPS, seed=0)

# %% [markdown]
# A run keeps a row for each pass over the pictures (an *epoch*). Put the two training losses into one figure.

# %%
COLOURS = {"plain": "#D55E00", "residual": "#0072B2"}
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for kind, run in runs.items():
    axes.plot(run.history["epoch"], run.history["train_loss"], color=COLOURS[kind], label=kind)
axes.set(xlabel="epoch", ylabel="training loss", title="56 layers: the lower, the better", xticks=run.history["epoch"])
axes.legend(frameon=False)
plt.show()

# %%
losses = {kind: run.history[-1]["train_loss"] for kind, run in runs.items()}
assert losses["residual"] < losses["plain"]
{kind: round(loss, 2) for kind, loss in losses.items()}

# %% [markdown]
# The residual network learns and the plain one hardly begins. Look at what this is not: it is not *overfitting*, for
# the loss is that of the training pictures themselves. The plain network could be as good; the optimiser does not find
# the way.

# %%
for kind, run in runs.items():
    print(f"{kind:<10}{run.result['top1']:.0%} of the test pictures are right (by chance: 10%)")

# %% [markdown]
# ## The gradient on its way back
#
# Learning means: each layer gets a gradient, which says how its weights should change. The gradient starts at the last
# layer and goes back to the first. How large is it in each layer? Take some training pictures.

# %%
data = resnets.loaders(DATA, model="resnet56_cifar", batch_size=128, workers=0)
images, targets = next(iter(data.train))
images.shape  # pictures, channels, height, width

# %% [markdown]
# `backward` leaves in each convolution the gradient of its weights. Its norm is one number for its size.


# %%
def gradient_norms(model):
    """The norm of the gradient in each 3 x 3 convolution, from the first to the last."""
    model.train().zero_grad()
    nn.functional.cross_entropy(model(images), targets).backward()
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    return [layer.weight.grad.norm().item() for layer in convolutions]


def draw_gradients(models, title, axes):
    for kind, model in models.items():
        axes.semilogy(gradient_norms(model), color=COLOURS[kind], label=kind)
    axes.set(xlabel="layer, from the first to the last", ylabel="norm of the gradient", title=title)
    axes.label_outer()


# %% [markdown]
# Draw it for networks with random weights, and for the two that were trained. The axis is logarithmic: a step of it is
# a factor of ten.

# %%
torch.manual_seed(0)
new = {kind: resnets.create_model(name, labels=data.labels, preprocess=data.preprocess) for kind, name in NETWORKS.items()}
trained = {kind: run.model for kind, run in runs.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
draw_gradients(new, "before training", left)
draw_gradients(trained, "after training", right)
left.legend(frameon=False)
plt.show()

# %% [markdown]
# **Before training** the plain network's gradient grows on its way back, until in the first layer it is hundreds of
# times as large as in the last. No step size suits both. In the residual network the two differ by about a factor of
# ten, since the shortcuts hand the gradient back, past the branches.


# %%
def first_by_last(model):
    norms = gradient_norms(model)
    return norms[0] / norms[-1]


ratios = {kind: first_by_last(model) for kind, model in new.items()}
assert ratios["plain"] > 10 * ratios["residual"]
{kind: f"first layer {ratio:,.0f} times the last" for kind, ratio in ratios.items()}

# %% [markdown]
# **After training** the residual network's layers all get gradients of about the same size: all of them learn. In the
# plain network most layers get one that is several times smaller than that of the last layers. Note what it is not:
# with batch norm the gradient has not *vanished* to nothing. The paper says so, too, in its section 4.1.

# %% [markdown]
# ## What arrives at the end
#
# `model.features` gives what each stage of the network makes of the pictures: `c1` is the first layer, `c4` the last
# stage.

# %%
levels = trained["residual"].eval().features(images)
{name: tuple(values.shape) for name, values in levels.items()}


# %% [markdown]
# How well can the digits still be told apart by these features? A simple way to see it: for one half of the test
# pictures compute the mean of each class; give each picture of the other half the class whose mean is nearest.

# %%
batches = list(data.test)
pictures, classes = (torch.cat(parts) for parts in zip(*batches, strict=True))


def told_apart(features):
    """The part of the pictures that is nearest to the mean of its own class. `features` is (N, C, H, W)."""
    rows, half = features.flatten(1), len(features) // 2
    means = torch.stack([rows[:half][classes[:half] == number].mean(0) for number in range(10)])
    return (torch.cdist(rows[half:], means).argmin(1) == classes[half:]).float().mean().item()


# %%
with torch.inference_mode():
    shares = {kind: [told_apart(f) for f in model.eval().features(pictures).values()] for kind, model in trained.items()}

# %%
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for kind, values in shares.items():
    axes.plot(list(levels), [100 * value for value in values], "o-", color=COLOURS[kind], label=kind)
axes.set(xlabel="stage", ylabel="%", title="pictures whose features are nearest to their class", ylim=(0, 100))
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# After the first layer both are about equally good. Then the plain network loses, stage by stage, what its first layer
# had. The residual network hands it on, and in the end adds to it. This is the same thing that you saw with all weights
# at 0, now in two whole networks.

# %%
assert shares["residual"][-1] > 2 * shares["plain"][-1]

# %% [markdown]
# ## What next
#
# - Set both networks to 20 layers: `plain20_cifar`, `resnet20_cifar`. How large is the gap now?
# - In `residual`, scale the branch: `(x + 0.5 * branch(x)).relu()`. Notebook 5 turns such an idea into a block that you
#   can train.
# - Notebook 3 draws the figure of the paper with several depths.
