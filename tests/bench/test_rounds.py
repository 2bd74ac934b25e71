"""Several rounds, and what is told of them."""

from functools import partial

import pytest

from tests.bench.figures import Figures, beside_floor
from tests.bench.result import Result
from tests.bench.rounds import in_rounds


class Played:
    """Measurements whose figures are known, and the order in which they are asked for."""

    def __init__(self, **rates: list[float]) -> None:
        self.order: list[str] = []
        self._rates = {name: iter(values) for name, values in rates.items()}

    async def rounds(self, number: int) -> Result:
        measurements = {name: partial(self._measure, name) for name in self._rates}
        return await in_rounds(measurements, number, {"slots": 64}, beside_floor)

    async def _measure(self, name: str) -> Figures:
        self.order.append(name)
        return {"questions_per_second": next(self._rates[name])}


async def test_every_other_round_goes_backwards() -> None:
    played = Played(penstock=[1, 1, 1], floor=[1, 1, 1])
    await played.rounds(3)
    assert played.order == ["penstock", "floor", "floor", "penstock", "penstock", "floor"]


async def test_the_median_is_told_and_between_what_it_is() -> None:
    found = await Played(penstock=[90, 60, 80], floor=[100, 120, 100]).rounds(3)
    assert list(found.subjects) == ["penstock", "floor"]
    assert found.subjects["penstock"]["questions_per_second"] == 80
    assert found.spread["penstock"]["questions_per_second"] == (60, 90)
    assert found.conditions == {"slots": 64, "rounds": 3}


async def test_a_ratio_is_that_of_the_same_round() -> None:
    # The machine is half as fast in the second: the ratio is the same.
    found = await Played(penstock=[90, 45, 90], floor=[100, 50, 100]).rounds(3)
    assert found.subjects["penstock"]["rate_to_floor"] == pytest.approx(0.9)
    assert found.spread["penstock"]["rate_to_floor"] == (0.9, 0.9)


async def test_one_round_has_no_spread() -> None:
    found = await Played(penstock=[90]).rounds(1)
    assert found.subjects["penstock"]["questions_per_second"] == 90
    assert not found.spread
