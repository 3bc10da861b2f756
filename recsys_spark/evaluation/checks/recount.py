"""Every rule of tonight's lists, counted from the tables alone: no code is shared with what made them."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from recsys_spark.errors import RuleBrokenError
from recsys_spark.evaluation.checks import groups, listed, quota, shape, short
from recsys_spark.evaluation.checks.items import Items
from recsys_spark.evaluation.checks.users import Users, opened
from recsys_spark.python_tasks import through_python
from recsys_spark.scoring.rules import Rules

log = logging.getLogger(__name__)

_NUM_SHORT = "num_short"


def broken_rules(
    by_user: DataFrame, items: Items, left_out: Sequence[str], num_items: int, rules: Rules
) -> dict[str, int]:
    """By rule, how many lists, or items in lists, break it; runs a Spark job, and another if caps shorten lists.

    Args:
        by_user: as `users.by_user` gives it.
        left_out: rules that keep items from users: columns of `by_user`.
        num_items: N.
    """
    shared = by_user.sparkSession.sparkContext.broadcast(items)

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        num: Counter[str] = Counter()
        for batch in batches:
            num.update(broken_in(opened(batch, left_out), shared.value, num_items, rules))
        yield pa.RecordBatch.from_arrays(
            [pa.array(list(num), pa.string()), pa.array(list(num.values()), pa.int64())],
            ["rule", "num_broken"],
        )

    counted: Counter[str] = Counter()
    for row in through_python(by_user, work, "rule string, num_broken long").collect():
        counted[row["rule"]] += row["num_broken"]
    caps = (rules.max_per_category, rules.max_per_seller)
    if counted.pop(_NUM_SHORT, 0) and any(caps):
        is_short = F.exists("lists", lambda row: F.size(row["items"]) < num_items)
        sample = by_user.where(is_short).orderBy(F.xxhash64("user_idx")).limit(short.SAMPLED_LISTS)
        [batch] = sample.toArrow().combine_chunks().to_batches()
        sampled = opened(batch, left_out)
        counted["short_without_cause"] = short.short_without_full_groups(sampled, items, num_items, caps)
    return dict(counted)


def broken_in(users: Users, items: Items, num_items: int, rules: Rules) -> dict[str, int]:
    """The same for some users, and how many lists are short; under caps, short lists are not judged."""
    has_caps = bool(rules.max_per_category or rules.max_per_seller)
    return {
        **shape.broken_lists(users, num_items),
        **shape.broken_users(users),
        **listed.broken_items(users, items),
        **groups.broken_caps(users, items, rules.max_per_category, rules.max_per_seller),
        **quota.broken_quota(users, items, rules.num_new_items, rules.new_item_events, has_caps),
        "short_without_cause": 0 if has_caps else short.short_without_cause(users, items, num_items),
        _NUM_SHORT: short.num_short(users, num_items),
    }


def refuse_broken(num_broken: Mapping[str, int], run_date: dt.date) -> None:
    """Look at what `broken_rules` counted.

    Raises:
        RuleBrokenError: a count is above 0; names each such rule and its count.
    """
    broken = ", ".join(f"{rule} {num}" for rule, num in sorted(num_broken.items()) if num)
    if broken:
        raise RuleBrokenError(f"table lists, {run_date}, cut night: {broken}; nothing goes live")
    log.info("rules_kept run_date=%s", run_date)
