"""OpenAI's models: the programs that may be asked."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.convertors import PathConvertor, register_url_convertor

from penstock.gateway.openai.errors import ANSWERS, Route
from penstock.gateway.openai.models import ListedModel, model, models
from penstock.gateway.parts import Gateway, Who


class _Anything(PathConvertor):
    """Whatever is asked for, the answer is OpenAI's."""

    regex = "(?s:.+)"


register_url_convertor("anything", _Anything())

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=Route)


class ListedModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[ListedModel]


@router.get(
    "",
    response_description="By their names.",
    responses={status: ANSWERS[status] for status in (401, 403, 429)},
)
async def list_models(gateway: Gateway, who: Who) -> ListedModels:
    """The programs that the members of the service say they serve."""
    return ListedModels(data=list((await models(gateway, who)).values()))


@router.get(
    "/{name:anything}",
    response_description="As it is served.",
    responses={status: ANSWERS[status] for status in (400, 401, 403, 404, 429)},
)
async def retrieve_model(name: str, gateway: Gateway, who: Who) -> ListedModel:
    """One program."""
    return await model(gateway, who, name)
