"""Which client asks this model? Settings to a DSPy language model."""

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal

import dspy
from dspy.clients.backend_selection import select_backend
from dspy.clients.capabilities import capabilities
from dspy.clients.engines.lm15_engine import LM15Engine
from dspy.lm15 import (
    NotConfiguredError,
    OpenAIChatLM,
    RouterConfig,
    UnknownModelError,
    UnsupportedFeatureError,
)

from penstock.errors import ConfigurationError
from penstock.program.chat import ChatAdapter
from penstock.program.connection import Connector
from penstock.program.native_engine import NativeEngine
from penstock.program.openai_engine import OpenAIEngine
from penstock.program.plain import PlainAdapter
from penstock.program.reading import Timeouts
from penstock.program.threads import AsyncEngine, ThreadEngine

AdapterName = Literal["chat", "json", "plain"]
EngineName = Literal["auto", "openai", "native", "litellm"]
"""`auto`: ours where the endpoint speaks OpenAI's chat completions, else DSPy's own."""

_ONLY_LITELLM = "DSPy's own client does not take it, or one of its options; set ENGINE to litellm"


@dataclass(frozen=True, slots=True)
class Model:
    """A language model and the adapter its programs speak through."""

    name: str
    lm: dspy.LM
    adapter: dspy.Adapter
    adapter_name: AdapterName

    async def aclose(self) -> None:
        """Closes the connections; a language model does not close an engine it was given."""
        engine = self.lm._async_engine_spec  # noqa: SLF001 - it has no other name
        await (self.lm if engine is None else engine).aclose()


def build(
    name: str,
    adapter: AdapterName,
    *,
    connections: int,
    api_base: str | None,
    api_key: str | None,
    options: dict[str, Any],
    engine: EngineName,
    timeouts: Timeouts,
    connector: Connector | None = None,
) -> Model:
    """One attempt per call and no cache: retries are ours, and a cached answer has no stream.

    `connections` bounds DSPy's own client; ours has as many as there are questions, and reaches
    the endpoint over `connector` where there is one.

    Raises:
        ConfigurationError: DSPy does not take this model or one of its options, or this engine
            does not. The message names the setting to change.
    """
    asked = _Asked(name, connections, api_base, api_key, options, engine, timeouts, connector)
    try:
        lm = _litellm(asked) if engine == "litellm" else _native_or_ours(asked)
    except Exception as error:
        raise ConfigurationError(f"model {name!r}: {error}") from error
    return Model(name, lm, _adapter(adapter), adapter)


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    connections: int
    api_base: str | None
    api_key: str | None
    options: dict[str, Any]
    engine: EngineName
    timeouts: Timeouts
    connector: Connector | None

    def lm(self, **engine: Any) -> dspy.LM:
        return dspy.LM(self.name, cache=False, num_retries=0, **self.options, **engine)

    def lm_with_address(self, engine: str) -> dspy.LM:
        address = {"api_base": self.api_base, "api_key": self.api_key}
        given = {key: value for key, value in address.items() if value is not None}
        return self.lm(engine=engine, **given)


def _litellm(asked: _Asked) -> dspy.LM:
    if importlib.util.find_spec("litellm") is None:
        raise ConfigurationError("ENGINE=litellm needs the package: pip install litellm")
    return asked.lm_with_address("litellm")


def _native_or_ours(asked: _Asked) -> dspy.LM:
    lm = asked.lm_with_address("lm15")
    try:
        provider = select_backend(lm).resolution.provider
    except UnknownModelError:
        if "/" not in asked.name:
            raise ConfigurationError(
                f"name its provider too, for example openai/{asked.name}"
            ) from None
        raise ConfigurationError(_ONLY_LITELLM) from None
    except UnsupportedFeatureError:
        raise ConfigurationError(_ONLY_LITELLM) from None
    if asked.api_base is None and not select_backend(asked.lm_with_address("auto")).native:
        raise ConfigurationError(
            "the environment names another address for it, as for LiteLLM; set API_BASE, or ENGINE "
            "to litellm"
        )
    native = LM15Engine(_router(asked, provider), model_type=lm.model_type)
    model = native.resolve(asked.name).model
    dialect = native.router.lm(f"{provider}:{model}")
    compatible = _speaks_chat_completions(dialect)
    if asked.engine == "openai" and not compatible:
        raise ConfigurationError("it does not speak OpenAI's chat completions; set ENGINE to auto")
    if asked.engine == "native" or not compatible:
        engine: AsyncEngine = NativeEngine(native.config, model_type=lm.model_type)
    else:
        engine = OpenAIEngine(dialect, model, asked.timeouts, asked.connector)
    return asked.lm(engine=ThreadEngine(engine, capabilities(lm)), async_engine=engine)


def _router(asked: _Asked, provider: str) -> RouterConfig:
    api_key = asked.api_key
    if api_key is None and _lacks_a_key(provider):
        if asked.api_base is None:
            variable = f"{asked.name.partition('/')[0].upper().replace('-', '_')}_API_KEY"
            raise ConfigurationError(f"it needs an API key; set {variable}, or its own API_KEY")
        # Servers of one's own rarely ask for a key, and the client insists on one.
        api_key = "none"
    first = asked.timeouts.first_token
    return RouterConfig(
        api_keys={provider: api_key} if api_key else None,
        base_urls={provider: asked.api_base} if asked.api_base else None,
        # DSPy's own pool ends at 100 connections, which more slots than that would wait for.
        max_connections=asked.connections,
        timeouts=dspy.lm15.Timeouts(
            connect=asked.timeouts.connect,
            # It knows one wait for bytes, the first ones included.
            **({} if first is None else {"read": max(first, asked.timeouts.idle)}),
        ),
    )


def _speaks_chat_completions(dialect: Any) -> bool:
    """As the address and one key alone allow it: a cloud's own door signs every request, and some
    keys have to be fetched.
    """
    return (
        type(dialect) is OpenAIChatLM
        and dialect.access.host is None
        and not callable(dialect.api_key)
    )


def _lacks_a_key(provider: str) -> bool:
    """Whether the provider wants a key and the environment has none for it."""
    engine = LM15Engine(RouterConfig())
    try:
        engine.router.lm(f"{provider}:any")
    except NotConfiguredError:
        return True
    finally:
        engine.close()
    return False


def _adapter(name: AdapterName) -> dspy.Adapter:
    if name == "json":
        return dspy.JSONAdapter()
    if name == "plain":
        return PlainAdapter()
    return ChatAdapter()
