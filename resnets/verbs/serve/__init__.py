"""`resnets serve`: saved models as a service over HTTP, with the answers that `resnets predict` gives.

    connection (bounds.py) -> body within limits (receive.py) -> pictures or tensors (parts.py, tensors.py)
    -> a model's bounded queue (batching.py) -> threads that decode and predict (served.py) -> JSON, CSV, tensors (app.py)

No torch, unless that is the runtime of a model.
"""
