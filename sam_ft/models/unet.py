"""A plain U-Net that tells the class of each pixel: what a SAM has to beat on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sam_ft.checks import expect_whole_number
from sam_ft.models.class_names import ClassNames, decoded_names
from sam_ft.models.semantic_head import with_background
from sam_ft.types import ImageEmbedding

NUM_HALVINGS = 4
"""How often the U-Net halves the image on its way down."""

_NAMES = "mask_decoder.class_names._extra_state"
_SIZE = "_extra_state"
_FIRST = "image_encoder.blocks.0.conv_0.conv.weight"


class UNet(nn.Module):
    """MONAI's `BasicUNet` in two halves, behind the calls that a SAM with a semantic head answers.

    The way down stands for the image encoder, the way up for the mask decoder, and the embedding holds what both share:
    so training, evaluation and checkpoints of semantic segmentation work with it unchanged. Its weights are random at
    first: nothing of it has seen another image.

    Args:
        names: of the classes; the background is added as the first one where it is not among them.
        image_size: side of the square input in pixels.
        width: channels of the two finest levels; the next ones have 2, 4 and 8 times as many. MONAI's own is 32.

    Raises:
        ValueError: a side that cannot be halved four times to at least 2, a width below 1, or names that are none.

    Source: Ronneberger et al. 2015; Falk et al. 2019, whose shape MONAI's has (instance norm, leaky ReLU).
    """

    def __init__(self, names: Sequence[str], *, image_size: int = 512, width: int = 32) -> None:
        super().__init__()
        step = 2**NUM_HALVINGS
        if image_size < 2 * step or image_size % step:  # instance norm needs more than one pixel
            wanted = f"a multiple of {step} from {2 * step} on"
            raise ValueError(f"Expected the `image_size` of a U-Net to be {wanted}, but got {image_size}.")
        expect_whole_number("width", width, least=1)
        from monai.networks.nets.basic_unet import BasicUNet  # takes seconds to import

        classes = ClassNames(with_background(names))
        features = (width, width, 2 * width, 4 * width, 8 * width, width)
        whole = BasicUNet(spatial_dims=2, in_channels=3, out_channels=len(classes.names), features=features)
        self.image_size = image_size
        self.image_encoder = Contracting([whole.conv_0, whole.down_1, whole.down_2, whole.down_3, whole.down_4])
        ways_up = [whole.upcat_4, whole.upcat_3, whole.upcat_2, whole.upcat_1]
        self.mask_decoder = Expanding(ways_up, whole.final_conv, classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of prompted masks: none, since it takes no prompts."""
        return ()

    @property
    def pixel_class_names(self) -> tuple[str, ...]:
        """The classes of pixels, the background first."""
        return self.mask_decoder.class_names.names

    def encode_image(self, images: Tensor) -> ImageEmbedding:
        """(B, 3, S, S) normalised frames -> the coarsest level, and beside it the finer ones, the finest first."""
        *finer, coarsest = self.image_encoder(images)
        return ImageEmbedding(features=coarsest, high_resolution=tuple(finer))

    def classify_pixels(self, embedding: ImageEmbedding) -> Tensor:
        """A class for each pixel: (B, K, S, S) logits, to be compared by softmax."""
        return self.mask_decoder(embedding.features, embedding.high_resolution)

    def get_extra_state(self) -> Tensor:
        """The side of the input, which no weight's shape tells: () int64."""
        return torch.tensor(self.image_size, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the side of other weights."""
        self.image_size = int(state)


class Contracting(nn.Module):
    """The way down: each block but the first halves the image.

    Attributes:
        checkpoint_blocks: whether only the input of each block is kept for its gradient.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.checkpoint_blocks = False

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> the levels (B, C, S / 2^n, S / 2^n), the finest first."""
        levels = [images]
        for block in self.blocks:
            if self.checkpoint_blocks and torch.is_grad_enabled():
                levels.append(checkpoint(block, levels[-1], use_reentrant=False, preserve_rng_state=False))
            else:
                levels.append(block(levels[-1]))
        return levels[1:]


class Expanding(nn.Module):
    """The way up: each block doubles the image and looks at the level of that size too."""

    def __init__(self, blocks: Sequence[nn.Module], final_conv: nn.Module, class_names: ClassNames) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.final_conv = final_conv
        self.class_names = class_names

    def forward(self, coarsest: Tensor, finer: Sequence[Tensor]) -> Tensor:
        """The coarsest level and the finer ones, the finest first -> (B, K, S, S)."""
        for block, level in zip(self.blocks, reversed(finer), strict=True):
            coarsest = block(coarsest, level)
        return self.final_conv(coarsest)


def is_unet(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether weights are those of a `UNet`."""
    return {_FIRST, _NAMES, _SIZE} <= set(state_dict)


def classes_of_unet(state_dict: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The classes of the pixels that the weights of a `UNet` know."""
    return decoded_names(state_dict[_NAMES])


def resized(state_dict: Mapping[str, Tensor], image_size: int) -> dict[str, Tensor]:
    """The weights of a `UNet` whose frame has another side; none of its weights depends on it."""
    return {**state_dict, _SIZE: torch.tensor(image_size)}


def unet_of(state_dict: Mapping[str, Tensor]) -> UNet:
    """A `UNet` as large as weights are, which are not loaded yet.

    Raises:
        ValueError: they are damaged, or of a frame that no U-Net takes.
    """
    size, width = int(state_dict[_SIZE]), state_dict[_FIRST].shape[0]
    return UNet(classes_of_unet(state_dict), image_size=size, width=width)
