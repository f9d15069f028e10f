"""What is kept of an image as JSON, and back exactly as it was: dataclasses of numbers, texts and tensors."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor


def to_json(value: object) -> Any:
    """What `json.dumps` can write, of dataclasses, mappings, lists, tuples, tensors, numbers, texts and None."""
    if isinstance(value, Tensor):
        array = value.cpu().contiguous().numpy()
        packed = base64.b64encode(zlib.compress(array.tobytes())).decode()
        return {"dtype": array.dtype.str, "shape": list(array.shape), "packed": packed}
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(each) for key, each in value.items()}
    return [to_json(each) for each in value] if isinstance(value, (list, tuple)) else value


def from_json(kind: Any, value: Any) -> Any:
    """What `to_json` was given.

    Args:
        kind: The type that it was of, such as a dataclass or `list[...]` of one.
        value: From JSON.

    A value of another type raises whatever error Python comes to.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if value is None else from_json(next(each for each in arguments if each is not NoneType), value)
    if kind is Tensor:
        array = np.frombuffer(zlib.decompress(base64.b64decode(value["packed"])), dtype=value["dtype"])
        return torch.from_numpy(array.reshape(value["shape"]).copy())
    if isinstance(kind, type) and is_dataclass(kind):
        kinds = _kinds_of(kind)
        return kind(**{name: from_json(kinds[name], own) for name, own in value.items()})
    if origin is tuple:
        of_each = repeat(arguments[0]) if arguments[-1] is Ellipsis else arguments
        return tuple(from_json(own, each) for own, each in zip(of_each, value, strict=False))
    if origin is list:
        return [from_json(arguments[0], each) for each in value]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: from_json(arguments[1], each) for key, each in value.items()}
    return value


@lru_cache
def _kinds_of(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return get_type_hints(kind)
