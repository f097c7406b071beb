"""How each kind of split is read, augmented and collated: the `data.types.Samples` that the tasks choose from."""
