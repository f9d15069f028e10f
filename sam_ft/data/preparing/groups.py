"""Groups out of pairs that belong together."""

from __future__ import annotations

from collections.abc import Iterable


def joined(num_items: int, links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected components of a graph: groups of positions, each sorted, by their first member.

    Args:
        num_items: How many there are; one without a link is a group of its own.
        links: Pairs of positions.
    """
    parent = list(range(num_items))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for one, other in links:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    groups: dict[int, list[int]] = {}
    for item in range(num_items):
        groups.setdefault(root(item), []).append(item)
    return list(groups.values())
