"""Which learning rate and weight decay each trained parameter gets, and the table that shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from sam_ft.models.adapt.freeze import PARTS

_POSITION_TABLES = ("pos_embed", "rel_pos_h", "rel_pos_w")
_BLOCK = re.compile(r"image_encoder\.blocks\.(\d+)\.")


@dataclass(frozen=True)
class TrainedParameter:
    """One parameter that learns."""

    name: str
    parameter: nn.Parameter
    lr: float
    weight_decay: float
    by_muon: bool


@dataclass(frozen=True)
class Rates:
    """Learning rates by part and depth, and weight decay.

    Attributes:
        lr: the highest learning rate.
        lr_factors: what `lr` is multiplied by in a part of the model; 1 in a part that is not named.
        layer_decay: what it is multiplied by once more for each block of the image encoder that comes after a
            parameter, and once for the neck; patches and positions come before the first block.
        weight_decay: of weights. Biases, norms and everything else of one dimension have none, nor have embeddings
            (the decoder's tokens, the kinds of prompts) and tables of positions.
        muon: what `lr` is multiplied by for weight matrices, which Muon moves then; None: AdamW moves them too.

    Raises:
        ValueError: a value is out of range, or a part is unknown.

    Source: layer-wise decay: Bao et al. 2022 (BEiT); SAM, appendix A.
    """

    lr: float
    lr_factors: Mapping[str, float]
    layer_decay: float
    weight_decay: float
    muon: float | None = None

    def __post_init__(self) -> None:
        if not self.lr > 0 or not self.weight_decay >= 0:
            raise ValueError(
                f"Expected `lr` above 0 and `weight_decay` of at least 0, but got {self.lr} and {self.weight_decay}."
            )
        if unknown := sorted(set(self.lr_factors) - set(PARTS)):
            raise ValueError(f"Expected `lr_factors` of {', '.join(PARTS)} alone, but got one of {unknown[0]!r}.")
        if not all(factor > 0 for factor in self.lr_factors.values()):
            raise ValueError(
                f"Expected `lr_factors` above 0, but got {dict(self.lr_factors)}: adapt=... chooses what is trained."
            )
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"Expected `layer_decay` in (0, 1], but got {self.layer_decay}.")
        if self.muon is not None and not self.muon > 0:
            raise ValueError(f"Expected `muon` to be a factor above 0, or null for AdamW alone, but got {self.muon}.")

    def of(self, model: nn.Module) -> list[TrainedParameter]:
        """Every parameter of a model that requires a gradient, exactly once."""
        depth = len({block[1] for name, _ in model.named_parameters() if (block := _BLOCK.match(name))})
        undecayed = set(_undecayed(model))
        trained = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                lr = self.lr * self._factor(name, depth=depth)
                decay = 0.0 if parameter in undecayed else self.weight_decay
                by_muon = self.muon is not None and parameter.ndim == 2 and parameter not in undecayed
                lr *= self.muon if by_muon and self.muon is not None else 1.0
                trained.append(TrainedParameter(name, parameter, lr=lr, weight_decay=decay, by_muon=by_muon))
        return trained

    def _factor(self, name: str, *, depth: int) -> float:
        part = name.partition(".")[0]
        factor = self.lr_factors.get(part, 1.0)
        if part != "image_encoder":
            return factor
        block = _BLOCK.match(name)
        if block is not None:
            layers_after = depth - int(block[1])
        else:
            layers_after = 0 if name.startswith("image_encoder.neck.") else depth + 1
        return factor * self.layer_decay**layers_after


def _undecayed(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim < 2 or isinstance(module, nn.Embedding) or name in _POSITION_TABLES:
                yield parameter


def parameter_table(model: nn.Module, rates: Rates) -> str:
    """What is trained and how, one line for each part of the model: counts in millions of parameters."""
    trained = rates.of(model)
    rows = [("part", "trained", "frozen", "learning rate", "weight decay")]
    for part in (*PARTS, ""):
        chosen = [each for each in trained if each.name.startswith(part)]
        every = sum(p.numel() for name, p in model.named_parameters() if name.startswith(part))
        learning = sum(each.parameter.numel() for each in chosen)
        counts = (part or "all", _millions(learning), _millions(every - learning))
        rows.append((*counts, _range(chosen), _decay(chosen)) if part else (*counts, "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in (1, 2) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _millions(count: int) -> str:
    return f"{count / 1e6:.3f} M" if count else "-"


def _range(chosen: list[TrainedParameter]) -> str:
    """The learning rate of a part, or its lowest and highest."""
    if not chosen:
        return "-"
    lowest, highest = (f"{function(each.lr for each in chosen):.1e}" for function in (min, max))
    return lowest if lowest == highest else f"{lowest} to {highest}"


def _decay(chosen: list[TrainedParameter]) -> str:
    """The weight decay of a part and how many of its parameters have it."""
    decayed = [each for each in chosen if each.weight_decay]
    return (
        f"{decayed[0].weight_decay:g} on {_millions(sum(each.parameter.numel() for each in decayed))}"
        if decayed
        else "-"
    )
