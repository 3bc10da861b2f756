"""The float32 half of the exact top-N, compiled: which items' scores may reach a user's list.

A block of items is small enough for a core's cache. Its scores are made for a few users at a time and looked at while
they lie there; all others' wait for the next block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from recsys_spark.compiled import compiled

Array = NDArray[Any]

_ROOM = 4  # survivors kept for each place of the list
_LOWEST = float(np.finfo(np.float32).min)  # what every finite score reaches, and -inf does not

_USERS, _LANES = 6, 16  # a tile of the product: its sums fill 12 of the 16 registers that AVX2 has
_BITS = 64  # scores compared at a time
_CHUNK = 256  # scores between two looks at how many survive
_BLOCK_VALUES = 65_536  # of item vectors: half a cache of 512 KiB
_TRIES = 24  # at a number that as many scores reach as are wanted

_INT32, _INT64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()


def block_items(dim: int) -> int:
    """Items of a block, for vectors of `dim` numbers."""
    return max(_CHUNK, min(4096, _BLOCK_VALUES // max(1, dim) // _CHUNK * _CHUNK))


def room_of(num_items: int) -> int:
    """Survivors kept of each user, for lists of `num_items`."""
    return max(_ROOM * num_items, 256)


def cells_of(num_items: int) -> int:
    """S: columns of the survivors. A chunk of scores may come before it is seen that they are too many."""
    return room_of(num_items) + _CHUNK


@compiled
def find(
    users: Array, vectors: Array, kind: Array, offsets: Array, row_of: Array, error: Array,
    unwanted: Array, starts: Array, num_items: int, width: int,
    kept: Array, scores: Array, count: Array, is_wide: Array,
) -> None:  # fmt: skip
    """Write the items of each user whose float64 score may be among the `num_items` best, and few more.

    Args:
        users: float32 [B, D]; vectors, kind: [V, D], [V], as in `Candidates`.
        offsets: float32 [U, K], added by the item's kind; user b has row `row_of[b]`. -inf: not to be listed.
        error: [B], how far a float32 score may be off.
        unwanted: item_idx left out, ascending for each user; user b's are those from starts[b] to starts[b + 1].
        width: items of a block, a multiple of 64.
        kept, scores: int32 [B, S] item_idx ascending, float32 [B, S], written as far as count [B].
        is_wide: bool [B]. Users that come with true are left alone; true is written where more items than there
            is room for are too close to tell apart: float64 has to look at every item.
    """
    num_users, dim = users.shape
    room = kept.shape[1] - _CHUNK
    packed_users, packed = _packed(users, _USERS), np.empty(width * dim, np.float32)
    block, added_of = np.empty((_USERS, width), np.float32), np.empty((len(offsets), width), np.float32)
    at, floor = starts[:-1].copy(), np.full(num_users, _LOWEST)
    count[:] = 0
    for start in range(0, len(kind), width):
        stop = min(start + width, len(kind))
        used = -(-(stop - start) // _BITS) * _BITS
        _pack(vectors[start:stop], _LANES, packed)
        added_of[:] = -np.inf  # also behind the last item
        for group in range(len(offsets)):
            for item in range(start, stop):
                added_of[group, item - start] = offsets[group, kind[item]]
        for first in range(0, num_users, _USERS):
            for place in range(0, stop - start, _LANES):
                _multiply(packed, place * dim, packed_users, first * dim, dim, block, place)
            for user in range(first, min(first + _USERS, num_users)):
                row, added = block[user - first, :used], added_of[row_of[user]]
                while at[user] < starts[user + 1] and unwanted[at[user]] < stop:
                    row[unwanted[at[user]] - start] = -np.inf
                    at[user] += 1
                if is_wide[user]:
                    continue
                for place in range(used):
                    row[place] += added[place]
                count[user], floor[user] = _taken(
                    row, start, floor[user], 2 * error[user], num_items, room,
                    kept[user], scores[user], count[user],
                )  # fmt: skip
                is_wide[user] = count[user] > room
    for user in range(num_users):
        if not is_wide[user] and count[user] > num_items:
            lowest = _near_nth(scores[user, : count[user]], num_items) - 2 * error[user]
            count[user] = _only_from(lowest, kept[user], scores[user], count[user])


@compiled
def _taken(
    row: Array, start: int, lowest: float, slack: float, num_items: int, room: int,
    kept: Array, scores: Array, num: int,
) -> tuple[int, float]:  # fmt: skip
    """Append what reaches `lowest` to the `num` survivors so far; returns how many and what is the lowest then."""
    if lowest == _LOWEST and len(row) >= 2 * num_items:
        lowest = max(lowest, _near_nth(row, num_items) - slack)
    for first in range(0, len(row), _CHUNK):
        least = np.float32(lowest)  # no float32 lies between the two
        for place in range(first, min(first + _CHUNK, len(row)), _BITS):
            bits = _reaching(row, place, least)
            while bits:
                lane = place + _lowest_bit(bits)
                kept[num], scores[num] = start + lane, row[lane]
                num += 1
                bits &= bits - np.uint64(1)
        if num > max(2 * num_items, _BITS):
            lowest = max(lowest, _near_nth(scores[:num], num_items) - slack)
            num = _only_from(lowest, kept, scores, num)
            if num > room:
                break
    return num, lowest


@compiled
def _near_nth(scores: Array, num_items: int) -> float:
    """A number that at least `num_items` scores reach and hardly more; `_LOWEST` where fewer are finite."""
    low, high, reached = np.float32(np.inf), np.float32(-np.inf), 0
    for place in range(len(scores)):
        score = scores[place]
        is_finite = score > -np.inf
        low = score if is_finite and score < low else low
        high = score if score > high else high
        reached += is_finite
    if reached < num_items:
        return _LOWEST
    for _ in range(_TRIES):
        middle = low + (high - low) * np.float32(0.5)
        if reached <= num_items + max(8, num_items // 8) or not low < middle < high:
            break
        above = np.int32(0)
        for place in range(len(scores)):
            above += np.int32(scores[place] >= middle)
        if above >= num_items:
            low, reached = middle, int(above)
        else:
            high = middle
    return float(low)


@compiled
def _only_from(lowest: float, kept: Array, scores: Array, num: int) -> int:
    """Drop, in place, what scores below `lowest`; returns how many remain."""
    remain, least = 0, np.float32(lowest)
    for place in range(num):
        item, score = kept[place], scores[place]
        kept[remain], scores[remain] = item, score  # stays if it is good enough
        remain += score >= least
    return remain


@compiled
def _packed(vectors: Array, side: int) -> Array:
    packed = np.empty(-(-len(vectors) // side) * side * vectors.shape[1], np.float32)
    _pack(vectors, side, packed)
    return packed


@compiled
def _pack(vectors: Array, side: int, packed: Array) -> None:
    """Lay `side` vectors of [R, D] side by side: all their first numbers, all second ones, and so on; 0 behind R."""
    num, dim = vectors.shape
    for first in range(0, num, side):
        for lane in range(side):
            for term in range(dim):
                value = np.float32(vectors[first + lane, term]) if first + lane < num else np.float32(0)
                packed[first * dim + term * side + lane] = value


# What follows has no words in NumPy: sums that stay in registers, and many comparisons as the bits of one number. LLVM
# makes of a vector of 16 or 64 numbers what the processor has.


def _at(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [place])


def _vector(width: int) -> Any:
    return ir.VectorType(_FLOAT, width)


def _everywhere(builder: Any, number: Any, width: int) -> Any:
    undefined = ir.Constant(_vector(width), ir.Undefined)
    first = builder.insert_element(undefined, number, _INT32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT32, width), [0] * width))


@intrinsic  # type: ignore[untyped-decorator]
def _multiply(
    typing_context: Any, items: Any, at_items: Any, users: Any, at_users: Any, dim: Any, block: Any, place: Any
) -> Any:  # fmt: skip
    """Write the inner products of 16 packed items with 6 packed users to block [6, C], from column `place` on."""
    signature = types.void(items, types.intp, users, types.intp, types.intp, block, types.intp)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        item, user = (_at(context, builder, kinds[n], args[n], args[n + 1]) for n in (0, 2))
        out = _at(context, builder, kinds[5], args[5], args[6])
        stride = builder.extract_value(context.make_array(kinds[5])(context, builder, args[5]).shape, 1)
        vector, zeros = _vector(_LANES), ir.Constant(_vector(_LANES), [0.0] * _LANES)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_LANES}f32"
        )
        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        term, sums = builder.phi(_INT64), [builder.phi(vector) for _ in range(_USERS)]
        of_items = builder.gep(item, [builder.mul(term, _INT64(_LANES))])
        of_items = builder.load(builder.bitcast(of_items, vector.as_pointer()), align=4)
        of_users = builder.gep(user, [builder.mul(term, _INT64(_USERS))])
        later = []
        for row, total in enumerate(sums):
            number = builder.load(builder.gep(of_users, [_INT64(row)]))
            later.append(builder.call(multiply_add, [of_items, _everywhere(builder, number, _LANES), total]))
            total.add_incoming(zeros, before)
            total.add_incoming(later[row], loop)
        following = builder.add(term, _INT64(1))
        term.add_incoming(_INT64(0), before)
        term.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[4]), loop, after)
        builder.position_at_end(after)
        for row, total in enumerate(later):
            of_row = builder.gep(out, [builder.mul(_INT64(row), stride)])
            builder.store(total, builder.bitcast(of_row, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def _reaching(typing_context: Any, scores: Any, place: Any, lowest: Any) -> Any:
    """Which of 64 scores from `place` on are no less than `lowest`, as bits; NaN is not."""
    signature = types.uint64(scores, types.intp, types.float32)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = _at(context, builder, signature.args[0], args[0], args[1])
        values = builder.load(builder.bitcast(data, _vector(_BITS).as_pointer()), align=4)
        return builder.bitcast(
            builder.fcmp_ordered(">=", values, _everywhere(builder, args[2], _BITS)), _INT64
        )

    return signature, generate


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; some must be."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.intp(types.uint64), generate
