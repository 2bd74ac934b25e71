"""Which partitions are paused? A high and a low mark."""

from collections import Counter


class Intake:
    """Counts the records a partition has in memory without a slot: waiting, or being published.

    Two marks, because pausing costs: the client throws the partition's prefetched records away.
    """

    def __init__(self, high: int, low: int) -> None:
        if not 0 <= low < high:
            raise ValueError(f"0 <= low < high, got low={low}, high={high}")
        self.high = high
        self.low = low
        self.paused: set[int] = set()
        self._held: Counter[int] = Counter()
        self._touched: set[int] = set()

    def grew(self, partition: int) -> None:
        self._held[partition] += 1
        self._touched.add(partition)

    def shrank(self, partition: int) -> None:
        self._held[partition] -= 1
        self._touched.add(partition)

    def forget(self, partition: int) -> None:
        """The partition is gone; if it comes back, it comes back running and empty."""
        del self._held[partition]
        self.paused.discard(partition)
        self._touched.discard(partition)

    def changes(self) -> tuple[frozenset[int], frozenset[int]]:
        """The partitions to pause and to resume now."""
        if not self._touched:
            return frozenset(), frozenset()
        held = self._held
        pause = frozenset(p for p in self._touched if held[p] >= self.high and p not in self.paused)
        resume = frozenset(p for p in self._touched if held[p] <= self.low and p in self.paused)
        self._touched.clear()
        self.paused = (self.paused | pause) - resume
        return pause, resume
