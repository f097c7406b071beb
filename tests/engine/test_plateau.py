"""The rate that goes by plateaus of the training loss, and weights of the lowest training loss."""

from resnets.engine.recipe import Recipe
from resnets.engine.schedule import Schedule

RECIPE = Recipe(sched="plateau", lr=1.0, gamma=0.5, plateau_epochs=3, min_lr=0.2, epochs=100)


def rate(losses):
    return Schedule(recipe=RECIPE, steps_per_epoch=10).after(losses).learning_rate(0, 1000)


def test_the_rate_falls_after_so_many_epochs_without_a_lower_loss():
    """As Keras' ReduceLROnPlateau: three losses in a row that are no better, counted anew after each fall."""
    assert rate([]) == rate([5, 4, 4, 4]) == 1.0
    assert rate([5, 4, 4, 4, 4]) == 0.5
    assert rate([5, 4, 4, 4, 3.9, 4, 4]) == 1.0  # better in between
    assert rate([5, 4, 4, 4, 4, 4, 4, 4]) == 0.25
    assert rate([4] * 50) == 0.2  # the lowest
    assert rate([4, 3.99995, 3.99995, 3.99995]) == 0.5  # lower by less than counts
