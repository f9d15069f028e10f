"""What readers warn of while they open a data set, kept instead of shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sam_ft.doctor.findings import Finding, Found, Severity, counted


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


@contextmanager
def heard() -> Iterator[list[str]]:
    """The warnings of `sam_ft.data`, each once; they are there when the block ends, and are shown nowhere else."""
    logger, kept = logging.getLogger("sam_ft.data"), _Kept()
    propagate = logger.propagate
    logger.addHandler(kept)
    logger.propagate = False
    texts: list[str] = []
    try:
        yield texts
    finally:
        logger.propagate = propagate
        logger.removeHandler(kept)
        texts += kept.texts


def warnings_of_readers(texts: Sequence[str]) -> list[Finding]:
    """One finding of all of them; none where nothing was said."""
    if not texts:
        return []
    text = f"The data set's reader says {counted(len(texts), 'thing')} that a training would say too."
    advice = "See whether that is meant."
    return [Finding("reader_warns", Severity.WARNING, text, advice, tuple(Found(each) for each in texts))]
