"""Training with Lightning; the only part of the library that imports it."""

from __future__ import annotations

from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.lightning.fitting import Recipe, fit
from sam_ft.lightning.monitoring import Monitoring
from sam_ft.lightning.semantic_fitting import SemanticMonitoring, SemanticRecipe, fit_semantic
from sam_ft.lightning.training import FitResult

__all__ = [
    "EmbeddingCacheSettings",
    "FitResult",
    "Monitoring",
    "Recipe",
    "SemanticMonitoring",
    "SemanticRecipe",
    "fit",
    "fit_semantic",
]
