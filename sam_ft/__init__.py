"""sam-ft: fine-tune Segment Anything models on your own domain."""

from __future__ import annotations

from sam_ft.checkpoints import load_model, save_meta
from sam_ft.data.nifti.reading import load_medical_image
from sam_ft.inference.execution import Execution
from sam_ft.inference.mask_filters import MaskFilters
from sam_ft.inference.mask_generator import SamAutomaticMaskGenerator
from sam_ft.inference.medsam_predictor import MedSAMPredictor
from sam_ft.inference.predictor import SamPredictor
from sam_ft.inference.ragged_prompts import ObjectPrompt
from sam_ft.inference.registry import sam_model_registry
from sam_ft.models.sam.variants import build_model
from sam_ft.shown_masks import show_masks, show_prompts

__all__ = [
    "Execution",
    "MaskFilters",
    "MedSAMPredictor",
    "ObjectPrompt",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_model",
    "load_medical_image",
    "load_model",
    "sam_model_registry",
    "save_meta",
    "show_masks",
    "show_prompts",
]
