"""One question to a language model, and its answer: OpenAI-compatible, Anthropic, Azure, Bedrock and local servers, by one client.

The client (any-llm) is an optional extra. Nothing is sent unless a model is named, and what is sent is the caller's to make harmless. Never
logs a question, an answer or a key, never follows an answer's wishes (no tools are offered) nor a redirection: the key is for one server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

MODEL, URL, KEY_FILE, KEY = (
    "FAIRLEAD_MODEL",
    "FAIRLEAD_MODEL_URL",
    "FAIRLEAD_MODEL_KEY_FILE",
    "FAIRLEAD_MODEL_KEY",
)
LOCAL = frozenset({"ollama", "llamacpp", "llamafile", "lmstudio", "vllm", "localai", "openai"})
"""Providers whose servers often want no key, where a URL names one's own."""
_ALIASES = {"localai": "openai", "azure": "azureopenai", "llama.cpp": "llamacpp"}
_SECONDS = 60.0
LONGEST = 64 * 1024
"""Characters of an answer that are taken."""
_LARGEST = 4 << 20
"""Bytes of an answer, with all that is around its words."""
_OVER_HTTP = frozenset({"BaseOpenAIProvider", "BaseAnthropicProvider", "AnthropicProvider"})
"""Providers whose clients take an HTTP client of ours."""


class Silent(Exception):
    """The model gave no answer; the text says why, without anything of the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Which model to ask: `provider` and `name`, where it is (`url`, "" for the provider's own), and how long to wait (seconds)."""

    provider: str
    name: str
    url: str = ""
    key: str = field(default="", repr=False)
    seconds: float = _SECONDS
    longest: int = 1200
    """Tokens of an answer."""

    @property
    def title(self) -> str:
        """What to call the model."""
        return f"{self.provider}:{self.name}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, and the tokens it took, as far as it tells."""

    text: str
    asked: int = 0
    answered: int = 0


def configured(environment: Mapping[str, str] = os.environ) -> Settings | None:
    """Return the model that the environment names, or None. Raises ValueError where it is named wrongly.

    FAIRLEAD_MODEL is `provider:name` (openai:gpt-5, anthropic:..., azure:..., bedrock:..., ollama:..., llamacpp:..., localai:...);
    FAIRLEAD_MODEL_URL where its server is; FAIRLEAD_MODEL_KEY_FILE or FAIRLEAD_MODEL_KEY its key.
    """
    named = environment.get(MODEL, "").strip()
    if not named:
        return None
    provider, colon, name = named.partition(":")
    if not colon or not provider or not name:
        raise ValueError(f"{MODEL}={named}: a provider and a model, such as openai:gpt-5 or ollama:llama3")
    key = environment.get(KEY, "")
    path = environment.get(KEY_FILE, "")
    if path:
        try:
            key = Path(path).read_text().strip()
        except OSError as error:
            raise ValueError(f"{KEY_FILE}={path}: {error.strerror}") from error
    return Settings(provider=provider, name=name, url=environment.get(URL, "").strip(), key=key)


class _Bounded(httpx.AsyncByteStream):
    """An answer's bytes, of which there may not be too many."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._stream:
            count += len(chunk)
            if count > _LARGEST:
                raise httpx.ReadError(f"more than {_LARGEST >> 20} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(response: httpx.Response) -> None:
    """Bound an answer before it is read; what is packed could be of any size, and nobody asked for it."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx.ReadError("packed, which nobody asked for")
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Bounded(response.stream)


def _line() -> httpx.AsyncClient:
    """Return what to ask over: it follows nobody elsewhere, since a question and a key are for one server."""
    return httpx.AsyncClient(
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [_bound]},
        timeout=_SECONDS,
    )


def _over(clients: Any, provider: str, line: httpx.AsyncClient) -> dict[str, Any]:
    """Return what makes a provider's client ask over this line, as far as it has a say."""
    if provider == "ollama":
        return {"follow_redirects": False, "event_hooks": {"response": [_bound]}}
    parents = {one.__name__ for one in clients.get_provider_class(provider).__mro__}
    return {"http_client": line} if parents & _OVER_HTTP else {}


async def ask(settings: Settings, instructions: str, question: str) -> Reply:
    """Ask once, and return what was said. Raises Silent."""
    try:
        from any_llm import AnyLLM
        from any_llm.exceptions import AnyLLMError
    except ModuleNotFoundError as error:
        raise Silent(
            "asking a model is an extra that is not installed: pip install 'fairlead[model]'"
        ) from error
    provider = _ALIASES.get(settings.provider, settings.provider)
    key = settings.key or ("none" if settings.url and settings.provider in LOCAL else None)
    try:
        async with _line() as line, asyncio.timeout(settings.seconds):
            client = AnyLLM.create(
                provider,
                api_key=key,
                api_base=settings.url or None,
                unified_exceptions=True,
                max_retries=0,
                **_over(AnyLLM, provider, line),
            )
            answer: Any = await client.acompletion(
                model=settings.name,
                messages=[{"role": "system", "content": instructions}, {"role": "user", "content": question}],
                max_tokens=settings.longest,
                stream=False,
            )
        text = answer.choices[0].message.content
        usage = answer.usage
    except TimeoutError:
        raise Silent(f"{settings.title} gave no answer within {settings.seconds:.0f} s") from None
    except AnyLLMError as error:
        status = f" (HTTP {error.status_code})" if error.status_code else ""
        raise Silent(f"{settings.title}: {type(error).__name__}{status}") from None
    except ImportError as error:
        raise Silent(
            f"{settings.provider} needs a package that is not installed: {error.name or error}"
        ) from None
    except Exception as error:  # noqa: BLE001  each provider's client has errors of its own; none may stop a diagnosis
        raise Silent(f"{settings.title}: {type(error).__name__}") from None
    if not isinstance(text, str) or not text.strip():
        raise Silent(f"{settings.title} said nothing")
    if len(text) > LONGEST:
        raise Silent(f"{settings.title} said more than {LONGEST >> 10} KiB")
    return Reply(text, getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0)
