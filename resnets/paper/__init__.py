"""The paper as commands: each claim of He et al. (2015, arXiv 1512.03385), measured here and compared with their figures.

Uses the whole package; only the command line uses this.
"""
