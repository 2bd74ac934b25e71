"""How do several workers stand together? For `/statusz`."""

from collections.abc import Sequence

from penstock import __version__
from penstock.events.sums import Standing, Sums, Worker, added


def together(
    group: str, started_at: str, uptime: float, workers: Sequence[Worker], *, draining: bool
) -> Standing:
    """As one process would say it.

    Args:
        group: of all.
        started_at: when the supervisor was started; RFC 3339.
        uptime: seconds since then.
        workers: what each says.
        draining: whether all were asked to end.
    """
    said = [worker.standing for worker in workers if worker.standing is not None]
    return Standing(
        version=__version__,
        group=group,
        member_id="",
        started_at=started_at,
        uptime_seconds=round(uptime, 1),
        partitions=sorted({number for one in said for number in one.partitions}),
        paused=sorted({number for one in said for number in one.paused}),
        backlog=sum(one.backlog for one in said),
        waiting=sum(one.waiting for one in said),
        retrying=sum(one.retrying for one in said),
        gate_shut=any(one.gate_shut for one in said),
        draining=draining,
        questions=added(one.questions for one in said) or Sums(),
        workers=list(workers),
    )
