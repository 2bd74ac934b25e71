"""Which offsets do completions call done, that no commit does?"""

from array import array

_NOTHING = -(2**63)


class Claims:
    """A claim holds for the record with the timestamp that its completion names: under the same
    topic, partition and offset there may be another record by now.

    Args:
        start: offsets below are of no interest; the last commit covers them.
        log_end: of the partition; at or above it there is no record that could be done.
    """

    def __init__(self, start: int = 0, log_end: int = 0) -> None:
        # Eight bytes an offset, for after a lost commit it may be every record of the partition.
        self._start = start
        self._log_end = log_end
        self._timestamps = array("q")

    @property
    def claimed_end(self) -> int:
        """One past the highest offset that is claimed."""
        return self._start + len(self._timestamps)

    def add(self, offset: int, timestamp: int) -> None:
        """The later one in the log wins. `timestamp` in Unix milliseconds."""
        if not self._start <= offset < self._log_end:
            return
        at = offset - self._start
        if at >= len(self._timestamps):
            self._timestamps.extend(array("q", [_NOTHING]) * (at + 1 - len(self._timestamps)))
        self._timestamps[at] = timestamp

    def count(self, start: int, end: int) -> int:
        """How many offsets of `[start, end)` are claimed."""
        begin, stop = (max(0, offset - self._start) for offset in (start, end))
        some = self._timestamps[begin:stop]
        return len(some) - some.count(_NOTHING)

    def hold(self, offset: int, timestamp: int) -> bool:
        """Whether this very record is done."""
        at = offset - self._start
        return 0 <= at < len(self._timestamps) and self._timestamps[at] == timestamp
