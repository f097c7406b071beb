"""The paper as commands: what He et al. 2015 (arXiv 1512.03385) claim, measured here, beside their figures.

Depends on the whole package; nothing depends on it.
"""
