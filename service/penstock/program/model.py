"""The model client: settings to a DSPy language model."""

from dataclasses import dataclass
from typing import Any, Literal

import dspy
from dspy.clients.backend_selection import select_backend
from dspy.clients.capabilities import capabilities
from dspy.clients.engines.lm15_engine import AsyncLM15Engine, LM15Engine
from dspy.lm15 import NotConfiguredError, RouterConfig

from penstock.errors import ConfigurationError
from penstock.program.plain import PlainAdapter
from penstock.program.threads import ThreadEngine

AdapterName = Literal["chat", "json", "plain"]


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
) -> Model:
    """One attempt per call and no cache: retries are ours, and a cached answer has no stream.

    Raises:
        ConfigurationError: DSPy does not take this model or one of its options.
    """
    try:
        lm = _language_model(name, connections, api_base, api_key, options)
    except Exception as error:
        raise ConfigurationError(f"model {name!r}: {error}") from error
    return Model(name, lm, _adapter(adapter), adapter)


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
    # Its fallback would ask again, and be paid for again, without anybody being told.
    return dspy.ChatAdapter(use_json_adapter_fallback=False)


def _language_model(
    name: str,
    connections: int,
    api_base: str | None,
    api_key: str | None,
    options: dict[str, Any],
) -> dspy.LM:
    address = {"api_base": api_base, "api_key": api_key}
    client = {key: value for key, value in address.items() if value is not None}
    common = {"cache": False, "num_retries": 0, **options}
    lm = dspy.LM(name, **common, **client)
    backend = select_backend(lm)
    if not backend.native:
        if "/" not in name:
            raise ConfigurationError(f"name its provider too, for example openai/{name}")
        return lm
    # DSPy's own pool ends at 100 connections, which more slots than that would wait for.
    provider = backend.resolution.provider
    if api_key is None and _lacks_a_key(provider):
        if api_base is None:
            raise ConfigurationError("it needs an API key; set PENSTOCK_MODEL__API_KEY")
        # Servers of one's own rarely ask for a key, and the client insists on one.
        api_key = "none"
    config = RouterConfig(
        api_keys={provider: api_key} if api_key else None,
        base_urls={provider: api_base} if api_base else None,
        max_connections=connections,
    )
    on_the_loop = AsyncLM15Engine(config)
    engine = ThreadEngine(on_the_loop)
    # A custom engine states itself what DSPy looks up for its own.
    known = capabilities(lm)
    engine.supports_function_calling = known.function_calling
    engine.supports_reasoning = known.reasoning
    engine.supports_response_schema = known.response_schema
    engine.supported_params = known.params
    return dspy.LM(name, **common, engine=engine, async_engine=on_the_loop)
