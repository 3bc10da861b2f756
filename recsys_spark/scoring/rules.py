"""The rules of a run, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Rules(NamedTuple):
    """What lists must keep to beside availability; conf/base.yaml explains each."""

    blocked_items: tuple[str, ...] = ()
    blocked_categories: tuple[str, ...] = ()
    boosts: Mapping[str, float] = {}
    max_per_category: int = 0
    max_per_seller: int = 0
    num_new_items: int = 0
    new_item_events: int = 0
    seed: int = 0


NO_RULES = Rules()


class Rerank(NamedTuple):
    """How a model's ranking is re-ordered; conf/base.yaml explains each."""

    by: str = "none"  # none | diversity | calibration
    trade_off: float = 0.0
    pool_items: int = 0


class ListSettings(NamedTuple):
    """How lists are made; conf/base.yaml explains each."""

    num_items: int
    batch_users: int
    num_threads: int
    explain: bool = False
    num_reasons: int = 1
    num_new_items: int = 0
    rerank: Rerank = Rerank()
    item_based_max_events: int = 0
    num_similar: int = 0

    @classmethod
    def of(cls, section: Mapping[str, Any], rerank: Rerank, num_new_items: int) -> ListSettings:
        """From the settings' section `recommend`, and those of the other sections that lists follow."""
        fields = {name: value for name, value in section.items() if name in cls._fields}
        return cls(**fields, rerank=rerank, num_new_items=num_new_items)

    def pool_items(self, has_caps: bool) -> int:
        """Items of a model's ranking that are looked at first; where caps leave too few of them, more are.

        Args:
            has_caps: whether caps may drop some.
        """
        if self.rerank.by != "none":
            return max(self.rerank.pool_items, self.num_items)
        return 2 * self.num_items if has_caps else self.num_items
