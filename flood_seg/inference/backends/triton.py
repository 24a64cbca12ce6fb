"""A Triton server, over HTTP or gRPC: the engine runs there, the image is prepared and the mask is made here.

The ModelSpec comes with the model's configuration on the server, so that a client needs no model file.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import numpy as np

from flood_seg.errors import ConfigError, ServerError, did_you_mean
from flood_seg.inference.backends.contract import Tensor, check_tensors, first_line, parse_spec
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from flood_seg.spec import ModelSpec

T = TypeVar("T")

PORTS = {"http": 8000, "grpc": 8001}
REFUSED = ("refused", "failed to connect", "unreachable", "reset by peer", "not known", "errors resolving")


@dataclass(frozen=True)
class Address:
    """Where a model is served.

    Attributes:
        protocol: `http` or `grpc`.
        tls: whether the connection is encrypted.
        host: `name:port`.
        model: the model's name on the server.
    """

    protocol: str
    tls: bool
    host: str
    model: str

    def __str__(self) -> str:
        return f"{self.protocol}{'s' if self.tls else ''}://{self.host}/{self.model}"


def parse_address(text: str, protocol: str = "http", tls: bool = False) -> Address:
    """Reads `[http://|https://|grpc://|grpcs://]host[:port]/model`.

    Args:
        text: the address; a scheme decides on the protocol and on TLS.
        protocol: where there is no scheme.
        tls: likewise.

    Raises:
        ConfigError: no such address.
    """
    found = re.fullmatch(r"(?:(https?|grpcs?)://)?([^/:\s]+|\[[^\]]+\])(?::(\d+))?/([^/\s]+)/?", text)
    if found is None:
        raise ConfigError(f"{text}: not the address of a model; write host:port/model, http://... or grpc://...")
    scheme, host, port, model = found.groups()
    if scheme:
        protocol, tls = scheme.removesuffix("s"), scheme.endswith("s")
    if protocol not in PORTS:
        raise ConfigError(f"backend.protocol={protocol}: allowed are http, grpc{did_you_mean(protocol, PORTS)}")
    return Address(protocol, tls, f"{host}:{port or PORTS[protocol]}", model)


class TritonBackend:
    """Runs a model on a Triton server.

    Attributes:
        spec: what the model's configuration on the server says.
        description: protocol and address, for people.
        concurrency: how many requests may be under way at once; `run` may be called from as many threads.
    """

    def __init__(
        self,
        model: str,
        protocol: str = "http",
        concurrency: int = 4,
        timeout: float = 60.0,
        retries: int = 4,
        backoff: float = 0.25,
        tls: bool = False,
        ca_file: str | None = None,
        token_env: str = "FLOOD_SEG_TRITON_TOKEN",
        token_header: str = "Authorization",
    ) -> None:
        """Asks the server for the model's configuration.

        Args:
            model: the address, as `parse_address` reads it.
            protocol: `http` or `grpc`, where the address does not say.
            concurrency: how many requests may be under way at once.
            timeout: seconds that an answer may take.
            retries: how often a refused connection is tried again.
            backoff: seconds before the first of these; each waits twice as long as the one before.
            tls: whether to encrypt, where the address does not say.
            ca_file: certificates (PEM) to trust instead of the system's.
            token_env: the environment variable that holds a token; unset: none is sent.
            token_header: the header that carries it; `Authorization` gets `Bearer <token>`.

        Raises:
            ServerError: no server answers there, it has no such model, or the model is not ready.
            ModelError: the model carries no ModelSpec, or its tensors are not what that says.
            ConfigError: no such address or protocol, a certificate file that cannot be read.
        """
        self.address, self.concurrency = parse_address(str(model), protocol, tls), concurrency
        self.description = f"triton {self.address.protocol}"
        self._timeout, self._retries, self._backoff = timeout, retries, backoff
        self._ca_file, self._headers = _readable(ca_file), _token(token_env, token_header)
        self._local = threading.local()
        config = self._call(lambda client: client.config())
        self.spec = _read_spec(str(self.address), config)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width].

        Raises:
            ServerError: the server does not answer, or refuses the batch.
        """
        return self._call(lambda client: client.infer(batch, self.spec))

    def _call(self, request: Callable[[_Client], T]) -> T:
        """Sends a request with this thread's own client: Triton's are not safe to share."""
        for attempt in range(self._retries + 1):
            try:
                return request(self._client())
            except Exception as error:  # of gevent, http, ssl, grpc: the libraries share no base
                self._local.__dict__.clear()
                if not _is_refused(error) or attempt == self._retries:
                    self._explain(error)
                time.sleep(self._backoff * 2**attempt)
        raise AssertionError

    def _client(self) -> _Client:
        if not hasattr(self._local, "client"):
            build = {"http": _HttpClient, "grpc": _GrpcClient}[self.address.protocol]
            self._local.client = build(self.address, self._timeout, self._headers, self._ca_file)
        client: _Client = self._local.client
        return client

    def _explain(self, error: Exception) -> NoReturn:
        text, address = first_line(error), self.address
        if _is_refused(error):
            advice = f"no server answers there ({text}); start one with 'flood-seg triton-server', or see host and port"
        elif isinstance(error, TimeoutError) or "timed out" in text.lower() or "deadline" in text.lower():
            advice = f"no answer within {self._timeout:g} s; raise backend.timeout, or see host, port and protocol"
        elif "unknown model" in text or "not ready" in text:
            advice = self._models(text)
        elif any(mark in text for mark in ("401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED")):
            advice = "the server wants another token; it is read from the variable that backend.token_env names"
        else:
            advice = f"{text}; see whether that is a Triton server's {address.protocol} port"
        raise ServerError(f"{address}: {advice}") from error

    def _models(self, text: str) -> str:
        """What the server has instead of a model that is unknown or not ready."""
        try:
            states = self._client().index()
        except Exception:  # the first error is the one to tell
            return text
        state = states.get(self.address.model)
        if state is not None:
            return f"the model is there but not ready ({first_line(state)}); see the server's log"
        there = ", ".join(states) or "none"
        hint = did_you_mean(self.address.model, states)
        return f"the server has no model '{self.address.model}'; it has {there}{hint}; give --model-name"


def _is_refused(error: Exception) -> bool:
    return isinstance(error, ConnectionError) or any(mark in str(error) for mark in REFUSED)


def _token(variable: str, header: str) -> dict[str, str]:
    token = os.environ.get(variable, "")
    if not token:
        return {}
    return {header: f"Bearer {token}" if header.lower() == "authorization" else token}


def _readable(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise ConfigError(f"backend.ca_file={path}: cannot be read ({error.strerror}); give a PEM file") from error


def _read_spec(where: str, config: dict[str, Any]) -> ModelSpec:
    """Takes the spec out of a model's configuration in the JSON form of Triton's ModelConfig."""
    parameter = config.get("parameters", {}).get(METADATA_KEY, {})
    spec = parse_spec(where, parameter.get("string_value"))
    check_tensors(where, spec, _tensors(config, "input"), _tensors(config, "output"))
    return spec


def _tensors(config: dict[str, Any], side: str) -> list[Tensor]:
    batch = (-1,) if int(config.get("max_batch_size", 0)) else ()
    types = {"TYPE_FP32": "float32"}
    return [
        Tensor(node["name"], types.get(node["data_type"], node["data_type"]), (*batch, *map(int, node["dims"])))
        for node in config.get(side, [])
    ]


class _Client(Protocol):
    """What is the same over both protocols."""

    def config(self) -> dict[str, Any]: ...

    def index(self) -> dict[str, str]: ...

    def infer(self, batch: np.ndarray, spec: ModelSpec) -> np.ndarray: ...


class _HttpClient:
    def __init__(self, address: Address, timeout: float, headers: dict[str, str], authority: bytes | None) -> None:
        import tritonclient.http as triton

        options: dict[str, Any] = {}
        if authority:
            import ssl

            context = ssl.create_default_context(cadata=authority.decode("ascii", "replace"))
            options["ssl_context_factory"] = lambda: context
        self._triton, self._model, self._headers = triton, address.model, headers
        self._client = triton.InferenceServerClient(
            address.host, connection_timeout=timeout, network_timeout=timeout, ssl=address.tls, **options
        )

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self._client.get_model_config(self._model, headers=self._headers)
        return config

    def index(self) -> dict[str, str]:
        return _states(self._client.get_model_repository_index(headers=self._headers))

    def infer(self, batch: np.ndarray, spec: ModelSpec) -> np.ndarray:
        return _infer(self._triton, self._client, self._model, batch, spec, headers=self._headers)


class _GrpcClient:
    def __init__(self, address: Address, timeout: float, headers: dict[str, str], authority: bytes | None) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines on stderr repeat its exceptions
        import tritonclient.grpc as triton

        options: dict[str, Any] = {}
        if authority:
            import grpc

            options["creds"] = grpc.ssl_channel_credentials(authority)
        self._triton, self._model, self._timeout = triton, address.model, timeout
        self._headers = {name.lower(): value for name, value in headers.items()}  # gRPC wants lower case
        self._client = triton.InferenceServerClient(address.host, ssl=address.tls, **options)

    def config(self) -> dict[str, Any]:
        answer = self._client.get_model_config(
            self._model, headers=self._headers, as_json=True, client_timeout=self._timeout
        )
        config: dict[str, Any] = answer["config"]
        return config

    def index(self) -> dict[str, str]:
        answer = self._client.get_model_repository_index(
            headers=self._headers, as_json=True, client_timeout=self._timeout
        )
        return _states(answer.get("models", []))

    def infer(self, batch: np.ndarray, spec: ModelSpec) -> np.ndarray:
        return _infer(
            self._triton, self._client, self._model, batch, spec, headers=self._headers, client_timeout=self._timeout
        )


def _infer(triton: Any, client: Any, model: str, batch: np.ndarray, spec: ModelSpec, **options: Any) -> np.ndarray:
    tensor = triton.InferInput(spec.input_name, list(batch.shape), "FP32")
    tensor.set_data_from_numpy(batch)
    wanted = [triton.InferRequestedOutput(spec.output_name)]
    return np.asarray(client.infer(model, [tensor], outputs=wanted, **options).as_numpy(spec.output_name))


def _states(models: list[dict[str, str]]) -> dict[str, str]:
    return {node["name"]: " ".join(filter(None, (node.get("state"), node.get("reason")))) for node in models}
