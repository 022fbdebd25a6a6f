"""Forecast a run's final validation loss from its curve so far and the part of the schedule that is left. Pure.

The law is that of Tissue et al. 2024, "Scaling Law with Learning Rate Annealing" (arXiv 2408.11029): with S the area
under the learning rate and D the drop of the rate,

    L = L0 + A S^-a - C D

L0 and A are fitted to the run's own validations. C cannot be seen in a curve before the rate has fallen far, so it is
carried over from runs that are over, and so are the exponent a and how far forecasts were off. docs/forecast.md
compares the law with others on recorded runs.
"""
