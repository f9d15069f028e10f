"""Data sets as Lightning wants them: batches in the model's frame."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import DataLoader

from sam_ft.any_checkpoints import AnyModel
from sam_ft.checks import expect_whole_number
from sam_ft.data.augment import Augmentation, augmentation
from sam_ft.data.balance import ClassBalance
from sam_ft.data.collation import Prepare, PreparedSample, PreparedSamples, collate
from sam_ft.data.drawing import drawing_of
from sam_ft.data.embedding_cache.encoding import Encoding
from sam_ft.data.embedding_cache.filling import fill
from sam_ft.data.embedding_cache.settings import EmbeddingCacheSettings
from sam_ft.data.mixture import MixtureSamples
from sam_ft.data.order import EpochOrder
from sam_ft.data.splits import DataSplits, SampleDataset
from sam_ft.data.windows import RandomWindow
from sam_ft.lightning.precision import autocast_dtype
from sam_ft.models.sam.model import Sam

_logger = logging.getLogger(__name__)

AUTO = "auto"


@dataclass(frozen=True)
class LoaderSettings:
    """How samples become batches.

    Attributes:
        batch_size: images in a training batch.
        eval_batch_size: images in a batch of validation and evaluation.
        max_objects: objects of a training image; more are thinned out at random.
        windows: shortest and longest side of the random square part of a training image that is seen, as shares of
            its longer side, such as (0.2, 0.5); see `sam_ft.data.windows`. None: whole images.
        augment: name of a preset of `sam_ft.data.augment`, or "auto": the one that the data set names in its
            `suited_augmentation`, else "light"; in a mixture each set's own.
        num_workers: processes that read and prepare.
        balance: how much more often images with rare classes are drawn, whose objects are then kept first where there
            are more than `max_objects`; None: all alike.
    """

    batch_size: int = 2
    eval_batch_size: int = 4
    max_objects: int = 16
    windows: tuple[float, float] | None = None
    augment: str = "none"
    num_workers: int = 0
    balance: ClassBalance | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size", "max_objects"):
            expect_whole_number(name, getattr(self, name), least=1)
        expect_whole_number("num_workers", self.num_workers, least=0)
        if self.balance is not None and not isinstance(self.balance, ClassBalance):
            raise ValueError(
                f"Expected `balance` to be a ClassBalance, as loader/balance=sqrt makes it, but got {self.balance!r}."
            )
        _window(self)  # refuses sides that are none
        if self.augment != AUTO:
            augmentation(self.augment)  # refuses an unknown name

    def with_views(self, num_views: int) -> LoaderSettings:
        """These settings where an image is seen in so many ways at most; one way is the image as it is.

        Raises:
            ValueError: one view of images that are changed at random, or several of images that are not.
        """
        changed = [f"loader.windows={list(self.windows)}"] if self.windows is not None else []
        changed += [f"loader.augment={self.augment}"] if self.augment not in ("none", AUTO) else []
        if num_views > 1 and self.augment == "none" and not changed:
            raise ValueError(
                f"Expected embedding_cache.views=1 without augmentation and windows, but got {num_views}: all views of "
                "an image would be the same."
            )
        if num_views == 1 and changed:
            raise ValueError(
                f"Expected several embedding_cache.views for {' and '.join(changed)}, but got 1, with which every "
                "epoch would see the same random change of an image: give embedding_cache.views=8, for eight of them, "
                "or leave that setting out."
            )
        return replace(self, augment="none") if num_views == 1 else self

    def augmentation_of(self, samples: SampleDataset) -> Augmentation | None:
        """The chosen augmentation, or the one that suits the data set."""
        return augmentation(getattr(samples, "suited_augmentation", "light") if self.augment == AUTO else self.augment)


class SamDataModule(pl.LightningDataModule):
    """The parts of a data set.

    Args:
        splits: training, validation and perhaps test samples at their sources' resolution.
        image_size: side of the model's frame.
        settings: how samples become batches.
        seed: of order, augmentation and choice of objects.
        every_object: training sees all objects, those beyond `settings.max_objects` and those that a window's border
            cuts to a small rest too; otherwise these are left out.
        embedding_cache: where a frozen image encoder's embeddings are kept, which stand for the images from
            `fill_embedding_cache` on; None: nowhere.

    Attributes:
        train_samples: as training sees them.
        val_samples: whole, with every object.
    """

    def __init__(
        self,
        splits: DataSplits,
        *,
        image_size: int,
        settings: LoaderSettings,
        seed: int = 0,
        every_object: bool = False,
        embedding_cache: EmbeddingCacheSettings | None = None,
    ) -> None:
        super().__init__()
        self.splits = splits
        self.settings = settings if embedding_cache is None else settings.with_views(embedding_cache.views)
        self.seed = seed
        self.embedding_cache = embedding_cache
        self._drawing = drawing_of(splits.train, balance=settings.balance, num_workers=settings.num_workers)
        window = _window(self.settings)
        prepare = Prepare(
            image_size,
            window=replace(window, least_visible=0.0) if window and every_object else window,
            augment=self.settings.augmentation_of(splits.train),
            max_objects=None if every_object else self.settings.max_objects,
            class_repeats=self._drawing.class_repeats,
        )
        self.train_samples = PreparedSamples(
            splits.train, prepare, seed=seed, prepare_sets=_prepared_sets(splits.train, prepare, self.settings)
        )
        self.val_samples = PreparedSamples(splits.val, Prepare(image_size))
        self._resumed_at = (0, 0)  # epoch, batches of it that are done

    def fill_embedding_cache(self, model: AnyModel, *, device: torch.device, precision: str) -> None:
        """Compute the embeddings that are missing, where there is a cache, and let all samples be read from it.

        Args:
            model: with the image encoder.
            device: where it runs.
            precision: in which it would run in a step, by Lightning's name.

        Raises:
            ValueError: the model is a U-Net, or see `sam_ft.data.embedding_cache.filling.fill`.
        """
        if self.embedding_cache is None:
            return
        if not isinstance(model, Sam):
            raise ValueError(
                "Expected no embedding cache for a U-Net, whose image encoder learns: embedding_cache.folder=null."
            )
        encoding = Encoding(
            device,
            autocast=autocast_dtype(precision),
            batch_size=self.settings.eval_batch_size,
            num_workers=self.settings.num_workers,
        )
        filled = fill([self.train_samples, self.val_samples], model, self.embedding_cache, encoding=encoding)
        num_views = self.embedding_cache.views
        seen = f" Epoch e sees view e % {num_views} of each training image." if num_views > 1 else ""
        rank_zero_only(_logger.info)("%s%s\n", filled, seen)

    def train_dataloader(self) -> DataLoader[PreparedSample]:
        """Augmented, in a new order every epoch; incomplete batches are left out where there are complete ones."""
        world_size, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order = EpochOrder(self._drawing.draws, seed=self.seed, num_replicas=world_size, rank=rank)
        epoch, batches_done = self._resumed_at
        self._resumed_at = (0, 0)
        order.set_epoch(epoch)  # Lightning does so too, but after it has started the workers
        order.skip = batches_done * self.settings.batch_size
        return DataLoader(
            self.train_samples,
            batch_size=self.settings.batch_size,
            sampler=order,
            drop_last=len(order) >= self.settings.batch_size,
            collate_fn=collate,
            num_workers=self.settings.num_workers,
            persistent_workers=self.settings.num_workers > 0,
        )

    def val_dataloader(self) -> DataLoader[PreparedSample]:
        """Every object, not augmented."""
        return DataLoader(
            self.val_samples,
            batch_size=self.settings.eval_batch_size,
            collate_fn=collate,
            num_workers=self.settings.num_workers,
        )

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch is, for the checkpoint."""
        if self.trainer is None:
            return {"epoch": 0, "batches_done": 0}
        batches = self.trainer.fit_loop.epoch_loop.batch_progress
        if batches.is_last_batch:
            return {"epoch": self.trainer.current_epoch + 1, "batches_done": 0}
        return {"epoch": self.trainer.current_epoch, "batches_done": batches.current.processed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was saved."""
        self._resumed_at = (int(state_dict["epoch"]), int(state_dict["batches_done"]))


def _prepared_sets(samples: SampleDataset, prepare: Prepare, settings: LoaderSettings) -> dict[str, Prepare]:
    """Of a mixture, where each set has the augmentation that suits it, by name of the set."""
    if settings.augment != AUTO or not isinstance(samples, MixtureSamples):
        return {}
    return {
        name: replace(prepare, augment=settings.augmentation_of(part.samples)) for name, part in samples.sets.items()
    }


def _window(settings: LoaderSettings) -> RandomWindow | None:
    """What cuts the parts out of training images, if anything."""
    return None if settings.windows is None else RandomWindow(sides=settings.windows)
