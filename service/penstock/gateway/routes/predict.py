"""The simple door: a question in, its answer out."""

from fastapi import APIRouter

from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.gateway.parts import Gateway, Who

router = APIRouter(tags=["simple"])


@router.post("/predict")
async def predict(question: Question, gateway: Gateway, who: Who) -> Completion:
    """Asks, and waits for the answer."""
    async with gateway.questions.asked(question, who) as asked:
        found = await gateway.questions.completion(asked.entry, None)
    assert found is not None
    return Completion.model_validate_json(found)
