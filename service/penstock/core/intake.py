"""Which partitions are paused? A high and a low mark."""

from collections import Counter


class Intake:
    """Counts the records a partition has in memory without a slot: waiting, or being published.

    Two marks, because pausing costs: the client throws the partition's prefetched records away.
    A partition arrives paused, and all are paused where no question is of any use, as are those
    that an operator has halted.
    """

    def __init__(self, high: int, low: int) -> None:
        if not 0 <= low < high:
            raise ValueError(f"0 <= low < high, got low={low}, high={high}")
        self.high = high
        self.low = low
        self.paused: set[int] = set()
        self._closed = False
        self._halted: frozenset[int] = frozenset()
        self._open: set[int] = set()
        self._held: Counter[int] = Counter()
        self._touched: set[int] = set()

    def arrived(self, partition: int) -> None:
        self.paused.add(partition)
        self._open.add(partition)
        self._touched.add(partition)

    def grew(self, partition: int) -> None:
        self._held[partition] += 1
        self._touched.add(partition)

    def shrank(self, partition: int) -> None:
        self._held[partition] -= 1
        self._touched.add(partition)

    def forget(self, partition: int) -> None:
        """The partition is gone; if it comes back, it comes back paused and empty."""
        del self._held[partition]
        for some in (self.paused, self._open, self._touched):
            some.discard(partition)

    def changes(
        self, *, closed: bool, halted: frozenset[int] = frozenset()
    ) -> tuple[frozenset[int], frozenset[int]]:
        """The partitions to pause and to resume now.

        Args:
            closed: no question is of any use.
            halted: nor is any of these partitions, whether they are here or not.
        """
        if closed is not self._closed:
            self._closed = closed
            self._touched |= self._open
        if halted != self._halted:
            self._touched |= halted ^ self._halted
            self._halted = halted
        if not self._touched:
            return frozenset(), frozenset()
        held, touched, paused = self._held, self._touched & self._open, self.paused
        useless = touched if closed else touched & halted
        pause = frozenset(p for p in touched - paused if p in useless or held[p] >= self.high)
        resume = frozenset(p for p in (touched & paused) - useless if held[p] <= self.low)
        self._touched.clear()
        paused |= pause
        paused -= resume
        return pause, resume
