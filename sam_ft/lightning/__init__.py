"""Training with Lightning; the only part of the library that imports it."""

from __future__ import annotations

from sam_ft.lightning.fitting import FitResult, Monitoring, Recipe, fit

__all__ = ["FitResult", "Monitoring", "Recipe", "fit"]
