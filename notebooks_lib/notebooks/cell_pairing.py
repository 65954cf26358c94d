"""Which cell of one version of a notebook is which cell of the other version. Cells in, pairs of indices out.

A cell's id is a hint only: most notebooks in git have none, and some tools give all cells new ones with every save.
Why this is written by hand: docs/decisions/0035-cells-are-paired-by-words.md.
"""

from __future__ import annotations

import itertools
import re
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from notebooks_lib.notebooks.document import NotebookCell

SAME_ID = 0.3
"""Likeness from which on two cells of one id are one cell."""
SAME_GAP = 0.5
"""Likeness from which on two cells are one, if they stand between the same two paired cells, in one order."""
ANYWHERE = 0.75
"""Likeness from which on two cells are one, wherever they stand."""
WORDS_ANYWHERE = 5
"""Words that they must share for that: `plot(x, y)` and `plot(x, z)` far apart are two cells."""
MOST_COMPARISONS = 250_000
"""Pairs of cells whose words are compared at most: half a second."""

_WORD = re.compile(r"\w+")
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""Scripts that write no space between words: each of their characters counts as a word."""

Pair = tuple[int, int]
"""Index in the base, index in the head."""
Words = frozenset[tuple[str, int]]


def pair_cells(base: Sequence[NotebookCell], head: Sequence[NotebookCell]) -> list[Pair]:
    """Return pairs of indices: which cell of `base` is which cell of `head`, in the order of `base`.

    A cell is in one pair at most.
    """
    pairing = _Pairing(base, head)
    pairing.join_ids(lambda before, after: pairing.text(before) == pairing.text(after))
    pairing.join_texts_in_order()
    pairing.join_texts_anywhere()
    pairing.join_ids(lambda before, after: pairing.likeness(before, after) >= SAME_ID)
    pairing.join_alike_in_gaps()
    pairing.join_alike_anywhere()
    pairing.join_ids_in_gaps()
    return sorted(pairing.pairs.items())


def longest_increasing(pairs: Sequence[Pair]) -> list[Pair]:
    """Return as many pairs as possible that are in the same order in both versions.

    `pairs` is sorted by the first index.
    """
    ends: list[int] = []  # ends[n]: the smallest head index that ends an increasing run of n + 1 pairs
    at: list[int] = []  # positions of these pairs
    before: list[int | None] = []
    for position, (_, index) in enumerate(pairs):
        length = bisect_left(ends, index)
        ends[length : length + 1] = [index]
        at[length : length + 1] = [position]
        before.append(at[length - 1] if length else None)
    run = []
    last = at[-1] if at else None
    while last is not None:
        run.append(pairs[last])
        last = before[last]
    return run[::-1]


def count_words(text: str) -> Words:
    """Return the words of a text as a multiset: each with a number for its first, second, ... occurrence."""
    counts: Counter[str] = Counter()
    words = set()
    pattern = _WORD if text.isascii() else rf"[{_EAST_ASIAN}]|[^\W{_EAST_ASIAN}]+"
    for word in re.findall(pattern, text):
        words.add((word, counts[word]))
        counts[word] += 1
    return frozenset(words)


def likeness(words: Words, others: Words) -> float:
    """Return the Dice coefficient of two multisets of words: 1 for equal ones, 0 if nothing is shared."""
    return 2 * len(words & others) / ((len(words) + len(others)) or 1)


class _Pairing:
    """The pairs so far. Each step joins cells that no earlier step has joined."""

    def __init__(self, base: Sequence[NotebookCell], head: Sequence[NotebookCell]) -> None:
        self._base, self._head = base, head
        self.pairs: dict[int, int] = {}
        self._taken: set[int] = set()
        self._words: dict[str, Words] = {}
        heads = _by_id(head)
        self._ids = [(index, heads[name]) for name, index in _by_id(base).items() if name in heads]

    def text(self, cell: NotebookCell) -> tuple[str, str]:
        return cell.kind, cell.source

    def likeness(self, before: NotebookCell, after: NotebookCell) -> float:
        return likeness(self._words_of(before), self._words_of(after))

    def join_ids(self, same: Callable[[NotebookCell, NotebookCell], bool]) -> None:
        for base, head in self._ids:
            if self._free(base, head) and same(self._base[base], self._head[head]):
                self._join(base, head)

    def join_ids_in_gaps(self) -> None:
        gaps = list(enumerate(self._gaps()))
        gap_of_base = {base: number for number, (bases, _) in gaps for base in bases}
        gap_of_head = {head: number for number, (_, heads) in gaps for head in heads}
        for base, head in self._ids:
            if self._free(base, head) and gap_of_base[base] == gap_of_head[head]:
                self._join(base, head)

    def join_texts_in_order(self) -> None:
        base, head = [self.text(cell) for cell in self._base], [self.text(cell) for cell in self._head]
        pending = list(self._gaps())
        while pending:
            bases, heads = pending.pop()
            for place, other_place in _equal_ends([base[index] for index in bases], [head[index] for index in heads]):
                self._join(bases[place], heads[other_place])
            bases, heads = self._free_of(bases, heads)
            anchors = longest_increasing(_equal_texts({i: base[i] for i in bases}, {i: head[i] for i in heads}))
            for base_index, head_index in anchors:
                self._join(base_index, head_index)
            if anchors:
                pending += _between(anchors, *self._free_of(bases, heads))

    def join_texts_anywhere(self) -> None:
        free = defaultdict(list)
        for index, cell in enumerate(self._base):
            if index not in self.pairs:
                free[self.text(cell)].append(index)
        for index, cell in enumerate(self._head):
            if index not in self._taken and free.get(self.text(cell)):
                self._join(free[self.text(cell)].pop(0), index)

    def join_alike_in_gaps(self) -> None:
        """Pair the most similar cells first, as long as the order of the pairs is kept."""
        ordered: list[Pair] = []
        for base, head in self._alike(self._comparisons_in_gaps(), SAME_GAP):
            place = bisect_left(ordered, (base, head))
            after_previous = place == 0 or ordered[place - 1][1] < head
            if after_previous and (place == len(ordered) or head < ordered[place][1]) and self._free(base, head):
                ordered.insert(place, (base, head))
                self._join(base, head)

    def join_alike_anywhere(self) -> None:
        for base, head in self._alike(self._comparisons_anywhere(), ANYWHERE):
            shared = self._words_of(self._base[base]) & self._words_of(self._head[head])
            if len(shared) >= WORDS_ANYWHERE and self._free(base, head):
                self._join(base, head)

    def _alike(self, comparisons: Iterator[Pair], least: float) -> list[Pair]:
        """Return the most alike first; of equally alike ones, those that stand at the same place."""
        alike = []
        for base, head in comparisons:
            words, others = self._words_of(self._base[base]), self._words_of(self._head[head])
            if 2 * min(len(words), len(others)) < least * (len(words) + len(others)):
                continue  # too different in length
            if (degree := likeness(words, others)) >= least:
                alike.append((-degree, abs(base - head), base, head))
        return [(base, head) for _, _, base, head in sorted(alike)]

    def _comparisons_in_gaps(self) -> Iterator[Pair]:
        """Yield the free cells of each gap with each other; in a huge gap only with those near the same place."""
        gaps = list(self._gaps())
        reach = MOST_COMPARISONS // (sum(len(bases) for bases, _ in gaps) or 1)
        for bases, heads in gaps:
            for place, base in enumerate(bases):
                start = max(0, place * len(heads) // len(bases) - reach // 2) if len(heads) > reach else 0
                yield from ((base, head) for head in heads[start : start + reach + 1])

    def _comparisons_anywhere(self) -> Iterator[Pair]:
        bases, heads = self._free_of(range(len(self._base)), range(len(self._head)))
        if len(bases) * len(heads) <= MOST_COMPARISONS:
            yield from itertools.product(bases, heads)

    def _gaps(self) -> Iterator[tuple[list[int], list[int]]]:
        """Yield the free cells before, between and after the pairs that stand in one order in both notebooks."""
        backbone = longest_increasing(sorted(self.pairs.items()))
        yield from _between(backbone, *self._free_of(range(len(self._base)), range(len(self._head))))

    def _free_of(self, bases: Iterable[int], heads: Iterable[int]) -> tuple[list[int], list[int]]:
        return [index for index in bases if index not in self.pairs], [
            index for index in heads if index not in self._taken
        ]

    def _words_of(self, cell: NotebookCell) -> Words:
        words = self._words.get(cell.source)
        if words is None:
            words = self._words[cell.source] = count_words(cell.source)
        return words

    def _free(self, base: int, head: int) -> bool:
        return base not in self.pairs and head not in self._taken

    def _join(self, base: int, head: int) -> None:
        self.pairs[base] = head
        self._taken.add(head)


def _by_id(cells: Sequence[NotebookCell]) -> dict[str, int]:
    """Return id -> index, without ids that two cells have."""
    counts = Counter(cell.id for cell in cells)
    return {cell.id: index for index, cell in enumerate(cells) if cell.id and counts[cell.id] == 1}


def _equal_ends(base: Sequence[Hashable], head: Sequence[Hashable]) -> Iterator[Pair]:
    """Yield the places of what both begin with, then of what both end with."""
    shorter = min(len(base), len(head))
    start = next((place for place in range(shorter) if base[place] != head[place]), shorter)
    yield from ((place, place) for place in range(start))
    for back in range(1, shorter - start + 1):
        if base[-back] != head[-back]:
            return
        yield len(base) - back, len(head) - back


def _equal_texts(base: Mapping[int, Hashable], head: Mapping[int, Hashable]) -> list[Pair]:
    """Return the indices of texts that occur once in both; if there are none, of nth occurrences of one text."""
    places: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, texts in enumerate((base, head)):
        for index, text in texts.items():
            places[text][side].append(index)
    both = [(bases, heads) for bases, heads in places.values() if bases and heads]
    single = [(bases, heads) for bases, heads in both if len(bases) == len(heads) == 1]
    return sorted(pair for bases, heads in single or both for pair in zip(bases, heads, strict=False))


def _between(
    anchors: Sequence[Pair], bases: Sequence[int], heads: Sequence[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the indices before, between and after pairs that stand in order; all indices are sorted."""
    base_start = head_start = 0
    for base, head in (*anchors, (sys.maxsize, sys.maxsize)):
        base_end, head_end = bisect_left(bases, base), bisect_left(heads, head)
        if base_end > base_start or head_end > head_start:
            yield list(bases[base_start:base_end]), list(heads[head_start:head_end])
        base_start, head_start = base_end, head_end
