"""Lists the kinds of model servers: how each is started, and how its behaviour differs.

A row holds only the differences; the tests hold what is expected of every server.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from llm_router.failures import FailureClass
from tests.live.receptionist import FOLDER, MODEL, TOOL_CALL, Expected

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Start:
    """Values for a server's command line; `model` is a GGUF file or a Hugging Face folder."""

    program: Path
    model: Path
    port: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Names of two metrics at /metrics."""

    running: str
    """Requests in progress."""
    generated: str
    """Tokens generated so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    name: str
    engine: str
    """Key of its program in `deploy.engines.PROVIDE`."""
    server: str = ""
    """Name of its row in the catalog, if it has one."""
    provider: str = "openai_compatible"
    model: str = "tiny.gguf"
    """The model that it loads, below tests/live/model."""
    idle_layers: int
    """Layers that make it slow: 40 to 100 words per second on a quiet machine."""
    command: Callable[[Start], Sequence[str]] | None
    """None if it is no server but runs in the caller's process."""
    environ: Mapping[str, str] = field(default_factory=dict)
    health: str = "/health"
    """Route that answers 200 once the server accepts requests."""
    ready_within: float = 60.0
    prepare: Callable[[Start], None] | None = None
    """Called once the server runs."""
    metrics: Metrics | None = None
    end_of_request: str = ""
    """For a server without metrics: pattern of the log line written when a request has ended or its
    client has left. Its group, if any, is the duration of the work."""

    counts_tokens: bool = True
    continues: bool = True
    tool_call: Expected = TOOL_CALL
    unknown_model: Expected | None = FailureClass.MODEL_MISSING
    """None if it answers under any model name."""
    wrong_key: Expected | None = FailureClass.REJECTED_KEY
    """None if it checks no keys."""
    too_long: Expected | None = FailureClass.TOO_LONG
    """None if it cuts the prompt and answers."""


def _llama_cpp(start: Start) -> Sequence[str]:
    script = str(_HERE / "llama_server.py")
    return [str(start.program), script, str(start.model), str(start.port), start.key]


def _llama_cpp_python(start: Start) -> Sequence[str]:
    return [
        *(str(start.program), "-m", "llama_cpp.server", "--model", str(start.model)),
        *("--model_alias", MODEL, "--n_ctx", "2048", "--n_threads", "1"),
        *("--interrupt_requests", "false", "--api_key", start.key),
        *("--host", "127.0.0.1", "--port", str(start.port)),
    ]


def _ollama(start: Start) -> Sequence[str]:
    home = start.model.parent / "ollama"
    settings = {
        "OLLAMA_HOST": f"127.0.0.1:{start.port}",
        "OLLAMA_MODELS": home,
        "HOME": home,
        # Tests cancel requests, and each can occupy a slot for good: docs/connections/ollama.md
        "OLLAMA_NUM_PARALLEL": 8,
        "OLLAMA_DEBUG": 1,
    }
    environ = [f"{name}={value}" for name, value in settings.items()]
    return ["env", *environ, str(start.program), "serve"]


def _create_ollama_model(start: Start) -> None:
    recipe = (FOLDER / "Modelfile").read_text().replace("FROM ./tiny.gguf", f"FROM {start.model}")
    file = start.model.with_name("Modelfile")
    file.write_text(recipe)
    subprocess.run(
        [start.program, "create", MODEL, "-f", file],
        env={"OLLAMA_HOST": f"127.0.0.1:{start.port}", "HOME": str(file.parent)},
        check=True,
        capture_output=True,
    )


def _vllm(start: Start) -> Sequence[str]:
    return [
        *(str(start.program), "-m", "vllm.entrypoints.cli.main", "serve", str(start.model)),
        *("--served-model-name", MODEL, "--dtype", "bfloat16", "--enforce-eager"),
        *("--gpu-memory-utilization", "0.3", "--max-num-seqs", "8"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--api-key", start.key),
        *("--host", "127.0.0.1", "--port", str(start.port)),
    ]


_OLLAMA = Kind(
    name="ollama",
    engine="ollama",
    server="ollama",
    idle_layers=10,
    command=_ollama,
    health="/api/version",
    prepare=_create_ollama_model,
    end_of_request=r"\| 200 \| +(\S+) \|.* POST .*/v1/chat/completions",
    wrong_key=None,
    too_long=None,
)
_ROWS = (
    Kind(
        name="llama_cpp",
        engine="llama_cpp",
        server="llama_cpp",
        idle_layers=40,
        command=_llama_cpp,
        metrics=Metrics(
            running="llamacpp:requests_processing", generated="llamacpp:tokens_predicted_total"
        ),
        unknown_model=None,
    ),
    _OLLAMA,
    replace(
        _OLLAMA,
        name="ollama_native",
        provider="ollama",
        end_of_request=r"\| 200 \| +(\S+) \|.* POST .*/api/chat",
    ),
    Kind(
        name="llama_cpp_python",
        engine="llama_cpp_python",
        server="llama_cpp_python",
        idle_layers=40,
        command=_llama_cpp_python,
        health="/docs",
        end_of_request="Disconnected from client",
        counts_tokens=False,
        continues=False,
        unknown_model=None,
        too_long=FailureClass.BROKEN_STREAM,
    ),
    Kind(
        name="vllm",
        engine="vllm",
        server="vllm",
        model="hf",
        idle_layers=20,
        command=_vllm,
        environ={
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # other programs share the machine
            "OMP_NUM_THREADS": "1",
        },
        ready_within=600.0,
        metrics=Metrics(
            running="vllm:num_requests_running", generated="vllm:generation_tokens_total"
        ),
    ),
    Kind(
        name="transformers",
        engine="transformers",
        provider="transformers",
        model="hf",
        idle_layers=20,
        command=None,
    ),
)
KINDS: Mapping[str, Kind] = MappingProxyType({row.name: row for row in _ROWS})
SERVERS = [kind for kind in _ROWS if kind.command]
