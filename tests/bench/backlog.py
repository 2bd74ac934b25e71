"""Questions that wait, always as many: for every one that is answered another is asked."""

from tests.bench.stage import Stage


class Backlog:
    """Questions that are asked and not answered: as many as the depth."""

    def __init__(self, here: Stage, depth: int) -> None:
        self._asker = here.asker
        self._completions = here.completions
        # The difference that answers make; those to the questions of the warm-up are read.
        self._wanted = depth - len(here.completions.seen)
        self._asked = 0

    async def fill(self) -> None:
        """However many were answered in the meantime."""
        while self._asked < self._wanted + len(self._completions.seen):
            await self._asker.ask(f"q{self._asked}")
            self._asked += 1

    async def answered(self, questions: int) -> None:
        """So many more, each of which another one takes the place of."""
        seen = self._completions.seen
        until = len(seen) + questions
        while len(seen) < until:
            await self._completions.until(len(seen) + 1)
            await self.fill()
