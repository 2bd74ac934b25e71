"""An agent with two tools; a reader of the tokens sees each call as a `status`.

penstock run --program penstock.examples.agent:program "When can I have two pumps in Oslo?"

A tool that awaits runs on the event loop, any other in a thread: neither holds up other questions.
"""

import asyncio

import dspy

STOCK = {"pump": 7, "pipe": 0}
DAYS = {"Oslo": 2, "Rome": 4}


def pieces_in_stock(article: str) -> int:
    """How many pieces of an article are in stock. Articles are named in the singular."""
    # A library that does not await, such as a database driver, may take its time here.
    return STOCK.get(article.lower(), 0)


async def days_of_delivery(city: str) -> str:
    """How many days a delivery to a city takes."""
    # Here stands the request to another service.
    await asyncio.sleep(0)
    return f"{DAYS[city]} days" if city in DAYS else f"nothing is delivered to {city}"


class Advise(dspy.Signature):
    """Answer a customer of a shop for pumps and pipes."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


program = dspy.ReAct(Advise, tools=[pieces_in_stock, days_of_delivery], max_iters=4)
