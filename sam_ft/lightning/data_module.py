"""Data sets as Lightning wants them: batches in the model's frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from sam_ft.checks import expect_whole_number
from sam_ft.data.augment import Augmentation, augmentation
from sam_ft.data.collation import Prepare, PreparedSample, PreparedSamples, collate, whole_batches
from sam_ft.data.order import EpochOrder
from sam_ft.data.splits import DataSplits, SampleDataset
from sam_ft.data.windows import RandomWindow

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
            `suited_augmentation`, else "light".
        num_workers: processes that read and prepare.
    """

    batch_size: int = 2
    eval_batch_size: int = 4
    max_objects: int = 16
    windows: tuple[float, float] | None = None
    augment: str = "none"
    num_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size", "max_objects"):
            expect_whole_number(name, getattr(self, name), least=1)
        expect_whole_number("num_workers", self.num_workers, least=0)
        _window(self)  # refuses sides that are none
        if self.augment != AUTO:
            augmentation(self.augment)  # refuses an unknown name

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
    """

    def __init__(
        self,
        splits: DataSplits,
        *,
        image_size: int,
        settings: LoaderSettings,
        seed: int = 0,
        every_object: bool = False,
    ) -> None:
        super().__init__()
        self.splits = splits
        self.image_size = image_size
        self.settings = settings
        self.seed = seed
        self.every_object = every_object
        self._resumed_at = (0, 0)  # epoch, batches of it that are done

    def train_dataloader(self) -> DataLoader[PreparedSample]:
        """Augmented, in a new order every epoch; incomplete batches are left out where there are complete ones."""
        window = _window(self.settings)
        prepare = Prepare(
            self.image_size,
            window=replace(window, least_visible=0.0) if window and self.every_object else window,
            augment=self.settings.augmentation_of(self.splits.train),
            max_objects=None if self.every_object else self.settings.max_objects,
        )
        samples = PreparedSamples(self.splits.train, prepare, seed=self.seed)
        world_size, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        order = EpochOrder(len(samples), seed=self.seed, num_replicas=world_size, rank=rank)
        epoch, batches_done = self._resumed_at
        self._resumed_at = (0, 0)
        order.set_epoch(epoch)  # Lightning does so too, but after it has started the workers
        order.skip = batches_done * self.settings.batch_size
        return DataLoader(
            samples,
            batch_size=self.settings.batch_size,
            sampler=order,
            drop_last=len(order) >= self.settings.batch_size,
            collate_fn=collate,
            num_workers=self.settings.num_workers,
            persistent_workers=self.settings.num_workers > 0,
        )

    def val_dataloader(self) -> DataLoader[PreparedSample]:
        """Every object, not augmented."""
        return whole_batches(
            self.splits.val,
            image_size=self.image_size,
            batch_size=self.settings.eval_batch_size,
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


def _window(settings: LoaderSettings) -> RandomWindow | None:
    """What cuts the parts out of training images, if anything."""
    return None if settings.windows is None else RandomWindow(sides=settings.windows)
