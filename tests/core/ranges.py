"""Sets of offsets as the core writes them."""


def ranges_of(offsets: set[int]) -> tuple[tuple[int, int], ...]:
    """Ascending, half-open, and none touches the next."""
    starts = sorted(offset for offset in offsets if offset - 1 not in offsets)
    ends = sorted(offset + 1 for offset in offsets if offset + 1 not in offsets)
    return tuple(zip(starts, ends, strict=True))
