"""OpenAI's models: the programs that may be asked."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from penstock.gateway.openai.errors import ANSWERS, Route
from penstock.gateway.openai.models import Model, model, models
from penstock.gateway.parts import Gateway, Who

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=Route)


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@router.get("", responses={status: ANSWERS[status] for status in (401, 403, 429)})
async def all_of_them(gateway: Gateway, who: Who) -> Models:
    """The programs that the members of the service say they serve."""
    return Models(data=list((await models(gateway, who)).values()))


@router.get(
    "/{name:path}", responses={status: ANSWERS[status] for status in (400, 401, 403, 404, 429)}
)
async def one_of_them(name: str, gateway: Gateway, who: Who) -> Model:
    """One program."""
    return await model(gateway, who, name)
