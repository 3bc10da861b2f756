import numpy as np
import pytest

from recsys_spark.ranking import survivors
from recsys_spark.ranking import top_n as top_n_module
from recsys_spark.ranking.top_n import candidates, top_n


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def way(request, monkeypatch):
    monkeypatch.setattr(top_n_module, "_is_plain", request.param == "plain")


def test_what_cannot_be_compiled_is_ranked_plainly_and_said_once(monkeypatch, caplog):
    def cannot(*_):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(top_n_module, "_is_plain", False)
    monkeypatch.setattr(survivors, "find", cannot)
    users, items = np.ones((1, 2)), np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]])
    with caplog.at_level("WARNING"):
        for _ in range(2):
            assert top_n(users, candidates(items, np.ones(3, bool)), 2).item_idx.tolist() == [[1, 2]]
    assert [message for message in caplog.messages if "no such instruction" in message] == caplog.messages
    assert len(caplog.messages) == 1


def brute_force(users, items, allowed, num_items, seen):
    """Every score in double precision, sorted by (score descending, item_idx ascending)."""
    lists = []
    for row, user in enumerate(users.astype(np.float64)):
        scores = [
            (-(user * items[i].astype(np.float64)).sum(), i)
            for i in np.flatnonzero(allowed)
            if i not in seen[row]
        ]
        lists.append([(i, -score) for score, i in sorted(scores)[:num_items]])
    return lists


def pairs(seen):
    rows = [row for row, items in enumerate(seen) for _ in items]
    return np.array(rows, dtype=np.int64), np.array([i for items in seen for i in items], dtype=np.int64)


def as_rows(lists):
    return [
        [(int(i), float(s)) for i, s in zip(items[:n], scores[:n], strict=True)]
        for items, scores, n in zip(lists.item_idx, lists.scores, lists.num_items, strict=True)
    ]


@pytest.mark.parametrize("num_items", [1, 7, 40, 500, 700])
def test_equals_brute_force_in_double_precision_with_seen_and_unavailable_items(num_items):
    rng = np.random.default_rng(7)
    users = rng.normal(size=(12, 17)).astype(np.float32)
    items = rng.normal(size=(900, 17)).astype(np.float32)
    allowed = rng.random(900) < 0.8
    seen = [set(rng.choice(900, size=n).tolist()) for n in [0, 1, 880, 30, 30, 30, 5, 5, 5, 0, 0, 400]]
    got = top_n(users, candidates(items, allowed), num_items, pairs(seen))
    assert as_rows(got) == brute_force(users, items, allowed, num_items, seen)


@pytest.mark.parametrize(
    ("vocabulary", "num_users"), [(60_000, 7), pytest.param(5_000_000, 2, marks=pytest.mark.slow)]
)
def test_a_thousand_of_a_large_catalogue_equal_brute_force(vocabulary, num_users):
    rng = np.random.default_rng(11)
    users = rng.normal(size=(num_users, 9)).astype(np.float32)
    items = rng.standard_normal((vocabulary, 9), np.float32)
    items[: vocabulary // 2] = np.sort(items[: vocabulary // 2], axis=0)
    is_allowed = rng.random(vocabulary) < 0.9
    seen = [
        np.unique(rng.integers(0, vocabulary, num)) for num in (50_000, 0, 90, 3_000, 1, 90, 90)[:num_users]
    ]
    left_out = np.repeat(np.arange(num_users), [len(own) for own in seen]), np.concatenate(seen)
    got = top_n(users, candidates(items, is_allowed), 1000, left_out)
    for row, user in enumerate(users):
        scores = np.where(is_allowed, items.astype(np.float64) @ user.astype(np.float64), -np.inf)
        scores[seen[row]] = -np.inf
        best = np.lexsort((np.arange(vocabulary), -scores))[:1000]
        assert got.item_idx[row].tolist() == best.tolist()
        assert got.scores[row] == pytest.approx(scores[best], rel=1e-12)


def test_equal_scores_come_by_item_idx_however_many_tie():
    items = np.ones((3000, 4), dtype=np.float32)
    items[2500] = 2
    got = top_n(np.ones((2, 4), dtype=np.float32), candidates(items, np.arange(3000) >= 2), 4)
    assert got.item_idx.tolist() == [[2500, 2, 3, 4]] * 2
    assert got.scores.tolist() == [[8, 4, 4, 4]] * 2


@pytest.mark.parametrize("num_alike", [60, 200, 500])  # fewer and more than float64 is asked about
def test_float64_decides_between_items_that_float32_cannot_tell_apart(num_alike):
    rng = np.random.default_rng(3)
    items = (1000 + 1e-3 * rng.normal(size=(800, 64))).astype(np.float32)
    items[rng.permutation(800)[num_alike:]] *= np.float32(0.9)
    users = np.ones((4, 64), dtype=np.float32)
    got = top_n(users, candidates(items, np.ones(800, dtype=bool)), 5)
    assert as_rows(got) == brute_force(users, items, np.ones(800, dtype=bool), 5, [set()] * 4)


@pytest.mark.parametrize("kind", ["normal", "sorted", "tied"])
def test_blocks_of_any_size_give_the_lists_of_brute_force(kind, monkeypatch):
    rng = np.random.default_rng(5)
    users = rng.normal(size=(21, 9)).astype(np.float32)
    vectors = rng.normal(size=(2000, 9)).astype(np.float32)
    if kind == "sorted":  # each block is better than all before it, for the first user
        vectors = vectors[np.argsort(vectors @ users[0])]
    if kind == "tied":  # more equal scores than are kept, on both sides of the list's end
        vectors[500:1900] = vectors[0]
    allowed = rng.random(2000) < 0.9
    seen = [set(rng.choice(2000, size=n).tolist()) for n in [0, 1500, *[40] * 19]]
    expected = brute_force(users, vectors, allowed, 20, seen)
    rows, item_idx = pairs(seen)
    mixed = rng.permutation(len(rows))
    for block_items, block_users in ((64, 8), (320, 1), (2048, 256)):
        monkeypatch.setattr(top_n_module, "blocks", lambda *_, both=(block_items, block_users): both)
        got = top_n(users, candidates(vectors, allowed), 20, (rows[mixed], item_idx[mixed]))
        assert as_rows(got) == expected


def test_fewer_candidates_than_n_give_a_shorter_list():
    items = np.array([[0], [0], [3], [5]], dtype=np.float32)
    allowed = np.array([False, False, True, True])
    got = top_n(np.ones((2, 1), np.float32), candidates(items, allowed), 3, pairs([{3}, {2, 3}]))
    assert got.item_idx.tolist() == [[2, 0, 0], [0, 0, 0]]
    assert got.num_items.tolist() == [1, 0]


def test_no_candidates_give_empty_lists():
    got = top_n(np.ones((2, 3)), candidates(np.ones((5, 3)), np.zeros(5, dtype=bool)), 4, pairs([{2}, set()]))
    assert got.num_items.tolist() == [0, 0]


def test_items_seen_but_newer_than_the_vectors_are_ignored():
    items = candidates(np.ones((4, 1), np.float32), np.arange(4) >= 2)
    assert top_n(np.ones((2, 1)), items, 2, pairs([{99, 2}, {4}])).item_idx.tolist() == [[3, 0], [2, 3]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(value):
    vectors = np.ones((4, 2), np.float32)
    vectors[3, 1] = value
    with pytest.raises(ValueError, match="item_idx 3 is not finite"):
        candidates(vectors, np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="user vector"):
        top_n(vectors, candidates(np.ones((4, 2)), np.ones(4, dtype=bool)), 2)


@pytest.mark.parametrize("kind", ["normal", "tied"])
def test_groups_get_their_own_items_and_offsets(monkeypatch, kind):
    monkeypatch.setattr(top_n_module, "blocks", lambda *_: (128, 256))
    rng = np.random.default_rng(11)
    users, items = (rng.normal(size=(n, 9)).astype(np.float32) for n in (40, 700))
    if kind == "tied":
        items[:] = items[0]
    of_item, group = rng.integers(0, 4, 700), rng.integers(0, 3, 40)
    offsets = np.array([[-np.inf, 0, 0.5, -np.inf], [-np.inf, 2.0, -3.0, 0.1], [-np.inf, 0, 0, 0]])
    seen = [set(rng.choice(700, size=n).tolist()) for n in rng.integers(0, 90, 40)]
    got = as_rows(top_n(users, candidates(items, of_item, offsets), 12, pairs(seen), group))
    for row, user in enumerate(users.astype(np.float64)):
        scores = [
            (-((user * items[i].astype(np.float64)).sum() + offsets[group[row], of_item[i]]), i)
            for i in range(700)
            if offsets[group[row], of_item[i]] > -np.inf and i not in seen[row]
        ]
        assert got[row] == [(i, -score) for score, i in sorted(scores)[:12]]


def test_an_offset_must_be_finite_or_forbid():
    with pytest.raises(ValueError, match="offset"):
        candidates(np.ones((2, 2)), np.ones(2, int), np.array([[0.0, np.nan]]))


@pytest.mark.parametrize("dim", [1, 6, 16, 65, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_of_any_length_and_precision_are_ranked(dim, dtype):
    rng = np.random.default_rng(2)
    users, items = (rng.normal(size=(n, dim)).astype(dtype) for n in (13, 1100))
    got = top_n(users, candidates(items, np.ones(1100, bool)), 9)
    exact = users.astype(np.float64) @ items.T.astype(np.float64)
    assert got.item_idx.tolist() == np.argsort(-exact, axis=1, kind="stable")[:, :9].tolist()


@pytest.mark.parametrize("user, item", [(1e39, 1e-30), (1e-30, 1e39), (1e25, 1e25), (1e200, 1.0)])
def test_scores_that_float32_cannot_hold_are_ranked_in_float64(user, item):
    rng = np.random.default_rng(4)
    users, items = user * rng.normal(size=(3, 5)), item * rng.normal(size=(50, 5))
    items[7] = 0
    exact = users @ items.T
    got = top_n(users, candidates(items, np.arange(50) != 3), 10)
    exact[:, 3] = -np.inf
    assert got.item_idx.tolist() == np.argsort(-exact, axis=1, kind="stable")[:, :10].tolist()


def test_items_that_may_not_be_listed_may_be_anything():
    rng = np.random.default_rng(6)
    items = rng.normal(size=(400, 5)).astype(np.float32)
    allowed = np.arange(400) % 3 > 0
    expected = top_n(items[:9], candidates(items, allowed), 20)
    items[~allowed] = rng.choice([np.nan, np.inf, -np.inf, 3e38], size=(134, 5))
    users = items[:9].copy()
    users[~allowed[:9]] = 0
    got = top_n(users, candidates(items, allowed), 20)
    assert got.item_idx[allowed[:9]].tolist() == expected.item_idx[allowed[:9]].tolist()


def test_vectors_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ValueError, match="users of 3 numbers, items of 2"):
        top_n(np.ones((4, 3)), candidates(np.ones((5, 2)), np.ones(5, bool)), 2)
    with pytest.raises(ValueError, match="no numbers"):
        candidates(np.ones((5, 0)), np.ones(5, bool))


def test_a_user_alone_gets_the_list_that_many_get_together():
    rng = np.random.default_rng(8)
    users, items = (rng.normal(size=(n, 24)).astype(np.float32) for n in (50, 5000))
    known = candidates(items, np.arange(5000) % 7 > 0)
    together = as_rows(top_n(users, known, 30))
    assert [as_rows(top_n(users[row : row + 1], known, 30))[0] for row in range(50)] == together


def test_users_of_a_block_give_way_to_long_lists():
    assert top_n_module.blocks(64, 20) == (1024, 1024)
    assert top_n_module.blocks(64, 1000) == (1024, 492)  # 16 MiB / (8 x (4,000 + 256))
    assert top_n_module.blocks(64, 10**7)[1] == 2


def test_items_of_a_block_are_those_whose_vectors_fit_a_cache():
    sizes = {dim: survivors.block_items(dim) for dim in (0, 1, 65, 200, 4096)}
    assert sizes == {0: 4096, 1: 4096, 65: 768, 200: 256, 4096: 256}
