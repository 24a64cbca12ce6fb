"""A Triton server, over HTTP or gRPC: the model runs there, preprocessing and postprocessing here.

The ModelSpec is part of the model's configuration on the server, so that a client requires no model file.
"""

from __future__ import annotations

import os
import re
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from flood_seg.config.schema.checks import check_range, check_workers
from flood_seg.errors import ConfigError, FloodSegError, ServerError, UsageError, did_you_mean
from flood_seg.inference.backends.contract import Backend, Tensor, first_line, parse_spec
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from flood_seg.spec import ModelSpec

T = TypeVar("T")

PORTS = {"http": 8000, "grpc": 8001}
SCHEMES = ("http", "https", "grpc", "grpcs")
DEFAULT_MODEL = "flood_area_segmentation"
REFUSED = ("refused", "failed to connect", "unreachable", "reset by peer", "not known", "errors resolving")
# What OpenSSL and BoringSSL report of a peer that answers in plain text.
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "wrong version number")
UNTRUSTED = ("certificate verify failed", "CERTIFICATE_VERIFY_FAILED")
DENIED = ("401", "403", "StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED")


@dataclass(frozen=True)
class Address:
    """The address of a served model.

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
        text: the address; its scheme takes precedence over the other arguments.
        protocol: `http` or `grpc`, where there is no scheme.
        tls: whether to encrypt, where there is no scheme.

    Raises:
        ConfigError: it is not an address.
    """
    scheme, rest = _scheme(text)
    if scheme:
        protocol, tls = scheme.removesuffix("s"), scheme.endswith("s")
    if protocol not in PORTS:
        raise ConfigError(f"backend.protocol={protocol}: allowed are http, grpc{did_you_mean(protocol, PORTS)}")
    found = re.fullmatch(r"([^/:\s]+|\[[^\]/\s]+\])(?::(\d+))?/([^/\s]+)/?", rest)
    if found is None:
        problem = "has no host" if rest[:1] in ("", "/", ":") else "not the address of a model"
        raise ConfigError(f"{text}: {problem}; write host:port/model, http://... or grpc://...")
    host, port, model = found.groups()
    if max(map(len, host.split("."))) > 63:  # the resolver answers with a traceback on stderr
        raise ConfigError(f"{text}: a part of the host's name is longer than 63 characters; write host:port/model")
    if port and not 1 <= int(port) <= 65535:
        raise ConfigError(f"{text}: port {port} is not between 1 and 65535")
    return Address(protocol, tls, f"{host}:{int(port or PORTS[protocol])}", model)


def _scheme(text: str) -> tuple[str, str]:
    """Splits `scheme://rest`; the scheme is empty where there is none."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return "", text
    if scheme not in SCHEMES:
        hint = did_you_mean(scheme, SCHEMES)
        raise ConfigError(f"{text}: the scheme '{scheme}' is none of {', '.join(SCHEMES)}{hint}")
    return scheme, rest


def join_address(url: str, model: str | None) -> str:
    """Returns the address of a model from that of its server, which may include the model.

    Args:
        url: `[scheme://]host[:port][/model]`.
        model: its name on the server; None: the one in `url`, else `flood_area_segmentation`.

    Raises:
        UsageError: the two name different models.
        ConfigError: an unknown scheme.
    """
    scheme, rest = _scheme(url)
    server, _, named = rest.rstrip("/").partition("/")
    if named and model and named != model:
        raise UsageError(f"--triton-url {url}: names the model '{named}', and --model-name '{model}'; give one of them")
    return f"{f'{scheme}://' if scheme else ''}{server}/{named or model or DEFAULT_MODEL}"


class TritonBackend(Backend):
    """Runs a model on a Triton server."""

    schemes = SCHEMES

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
        """Requests the model's configuration from the server.

        Args:
            model: the address, as `parse_address` reads it.
            protocol: `http` or `grpc`, where the address has no scheme.
            concurrency: how many requests may be in progress at once.
            timeout: seconds for a request as a whole: connecting, retries and the complete answer.
            retries: how many times a refused connection is retried.
            backoff: seconds before the first retry; each waits twice as long as the one before.
            tls: whether to encrypt, where the address has no scheme.
            ca_file: certificates (PEM) to trust instead of the system's.
            token_env: the environment variable with a token; unset: none is sent.
            token_header: the header of the token; `Authorization` is sent as `Bearer <token>`.

        Raises:
            ServerError: no server answers, it has no such model, or the model is not ready.
            ModelError: the model carries no ModelSpec, or its tensors do not match it.
            ConfigError: an invalid address, protocol or number, or a certificate file that cannot be read.
        """
        check_range("backend.concurrency", concurrency, 1)
        check_workers("backend.concurrency", concurrency)
        check_range("backend.timeout", timeout, 0, open_low=True)
        check_range("backend.retries", retries, 0, 100)
        check_range("backend.backoff", backoff, 0)
        self.address, self.concurrency = parse_address(str(model), protocol, tls), concurrency
        self.description = f"triton {self.address.protocol}"
        self._timeout, self._retries, self._backoff = timeout, retries, backoff
        self._ca_file, self._headers = _readable(ca_file), _token(token_env, token_header)
        self._local = threading.local()
        config = self._call(lambda client, seconds: client.config(seconds))
        self.spec = _read_spec(str(self.address), config)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width].

        Raises:
            ServerError: the server does not answer, or refuses the batch.
        """
        return self._call(lambda client, seconds: client.infer(batch, self.spec, seconds))

    def _call(self, request: Callable[[_Client, float], T]) -> T:
        """Sends a request with this thread's own client: Triton's clients are not thread-safe."""
        end = time.monotonic() + self._timeout
        for attempt in range(self._retries + 1):
            pause = self._backoff * 2**attempt
            try:
                return request(self._client(), max(end - time.monotonic(), 0.001))
            except FloodSegError:
                raise
            except Exception as error:  # of gevent, http, ssl, grpc: they share no base class
                self._local.__dict__.clear()
                if not _is_refused(error) or attempt == self._retries or time.monotonic() + pause > end:
                    self._explain(error, end)
                time.sleep(pause)
        raise AssertionError

    def _client(self) -> _Client:
        if not hasattr(self._local, "client"):
            build = {"http": _HttpClient, "grpc": _GrpcClient}[self.address.protocol]
            self._local.client = build(self.address, self._timeout, self._headers, self._ca_file)
        client: _Client = self._local.client
        return client

    def _explain(self, error: Exception, end: float) -> NoReturn:
        text, address = first_line(error), self.address
        status = str(error.status()) if hasattr(error, "status") else ""
        if any(mark in str(error) for mark in NO_TLS):
            advice = f"no TLS is spoken there; write {address.protocol}://, or check the port"
        elif any(mark in str(error) for mark in UNTRUSTED):
            advice = f"its certificate is not trusted ({text}); backend.ca_file=... names the one to trust"
        elif _is_refused(error):
            advice = f"no server answers there ({text}); start one with 'flood-seg triton-server', or see host and port"
        elif isinstance(error, TimeoutError) or "timed out" in text.lower() or "deadline" in text.lower():
            advice = (
                f"no complete answer within {self._timeout:g} s; raise backend.timeout, or see host, port and protocol"
            )
        elif "unknown model" in text or "not ready" in text:
            advice = self._models(text, end)
        elif status in DENIED:
            advice = "the server requires another token; it is read from the variable that backend.token_env names"
        else:
            advice = f"{text}; see whether that is a Triton server's {address.protocol} port"
        raise ServerError(f"{address}: {advice}") from error

    def _models(self, text: str, end: float) -> str:
        """Returns which models the server has, where the requested one is unknown or not ready."""
        try:
            states = self._client().index(max(end - time.monotonic(), 0.001))
        except Exception:  # the first error is the one to report
            return text
        state = states.get(self.address.model)
        if state is not None:
            return f"the model is there but not ready ({first_line(state)}); see the server's log"
        there = ", ".join(states) or "none"
        hint = did_you_mean(self.address.model, states)
        return f"the server has no model '{self.address.model}'; it has {there}{hint}; name it by --model-name"


def _is_refused(error: Exception) -> bool:
    """Whether a retry may help."""
    text = str(error)
    if any(mark in text for mark in (*NO_TLS, *UNTRUSTED)):
        return False
    return isinstance(error, ConnectionError) or any(mark in text for mark in REFUSED)


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


def _read_spec(where: str, config: Any) -> ModelSpec:
    """Reads the spec of a model's configuration, the JSON form of Triton's ModelConfig.

    Raises:
        ServerError: it is not such a configuration.
        ModelError: it carries no ModelSpec, or its tensors do not match it.
    """
    try:
        if not isinstance(config["name"], str):
            raise TypeError
        text: str | None = config.get("parameters", {}).get(METADATA_KEY, {}).get("string_value")
        if not isinstance(text, str | None):
            raise TypeError
        inputs, outputs = _tensors(config, "input"), _tensors(config, "output")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServerError(
            f"{where}: the answer is not the configuration of a Triton model; check that this is a Triton server"
        ) from error
    return parse_spec(where, text, inputs, outputs)


def _tensors(config: dict[str, Any], side: str) -> list[Tensor]:
    batch = (-1,) if int(config.get("max_batch_size", 0)) else ()
    types = {"TYPE_FP32": "float32"}
    return [
        Tensor(node["name"], types.get(node["data_type"], node["data_type"]), (*batch, *map(int, node["dims"])))
        for node in config.get(side, [])
    ]


class _Client(ABC):
    """The requests of either protocol; `seconds` limit a request as a whole."""

    def __init__(self, address: Address, triton: Any, client: Any) -> None:
        self._address, self._triton, self._client = address, triton, client

    @abstractmethod
    def _send(self, request: str, seconds: float, *arguments: Any, **options: Any) -> Any:
        """Calls that method of Triton's client."""

    def config(self, seconds: float) -> Any:
        return self._send("get_model_config", seconds, self._address.model)

    def index(self, seconds: float) -> dict[str, str]:
        models = self._send("get_model_repository_index", seconds)
        return {node["name"]: " ".join(filter(None, (node.get("state"), node.get("reason")))) for node in models}

    def infer(self, batch: np.ndarray, spec: ModelSpec, seconds: float) -> np.ndarray:
        tensor = self._triton.InferInput(spec.input_name, list(batch.shape), "FP32")
        tensor.set_data_from_numpy(batch)
        outputs = [self._triton.InferRequestedOutput(spec.output_name)]
        answer = self._send("infer", seconds, self._address.model, [tensor], outputs=outputs)
        logits = answer.as_numpy(spec.output_name)
        expected = (len(batch), spec.logit_channels)
        if logits is None or logits.ndim != 4 or logits.shape[:2] != expected or logits.dtype != np.float32:
            found = "no such tensor" if logits is None else f"{logits.dtype} {list(logits.shape)}"
            raise ServerError(
                f"{self._address}: answers {found} where '{spec.output_name}' is to be float32 "
                f"[{expected[0]}, {expected[1]}, height, width]; serve the model again with 'flood-seg triton-server'"
            )
        return np.asarray(logits)


class _HttpClient(_Client):
    def __init__(self, address: Address, timeout: float, headers: dict[str, str], authority: bytes | None) -> None:
        import tritonclient.http as triton

        options: dict[str, Any] = {}
        if authority:
            import ssl

            context = ssl.create_default_context(cadata=authority.decode("ascii", "replace"))
            options["ssl_context_factory"] = lambda: context
        client = triton.InferenceServerClient(
            address.host, connection_timeout=timeout, network_timeout=timeout, ssl=address.tls, **options
        )
        super().__init__(address, triton, client)
        self._headers = headers

    def _send(self, request: str, seconds: float, *arguments: Any, **options: Any) -> Any:
        """Ends a request that takes longer: the client's own timeouts restart with each byte that arrives."""
        import gevent

        timeout = gevent.Timeout(seconds)  # no Exception, so that no library in between catches it
        try:
            with timeout:
                return getattr(self._client, request)(*arguments, headers=self._headers, **options)
        except gevent.Timeout as error:
            if error is not timeout:
                raise
            raise TimeoutError from error


class _GrpcClient(_Client):
    def __init__(self, address: Address, timeout: float, headers: dict[str, str], authority: bytes | None) -> None:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines on stderr repeat its exceptions
        import tritonclient.grpc as triton

        options: dict[str, Any] = {}
        if authority:
            import grpc

            options["creds"] = grpc.ssl_channel_credentials(authority)
        super().__init__(address, triton, triton.InferenceServerClient(address.host, ssl=address.tls, **options))
        self._headers = {name.lower(): value for name, value in headers.items()}  # gRPC requires lower case

    def _send(self, request: str, seconds: float, *arguments: Any, **options: Any) -> Any:
        options |= {"headers": self._headers, "client_timeout": seconds}
        if request == "infer":
            return self._client.infer(*arguments, **options)
        answer = getattr(self._client, request)(*arguments, **options, as_json=True)
        return answer.get("config") if request == "get_model_config" else answer.get("models", [])
