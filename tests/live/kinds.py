"""The kinds of servers: a row each, with how one is started and what was seen of it.

A row says where a server differs; the tests say what is asked of all.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from llm_router.failures import FailureClass
from tests.live.receptionist import FOLDER, MODEL, TOOL_AS_TEXT, TOOL_CALL, Expected

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Start:
    """What a command line is made of. `model`: a GGUF file or a Hugging Face folder."""

    program: Path
    model: Path
    port: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Of those at /metrics: which counts requests in work, and which the tokens made so far."""

    in_work: str
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    name: str
    engine: str
    """What is started: its place in `deploy.engines.PROVIDE`."""
    server: str = ""
    """Its row in the catalog, where it has one."""
    provider: str = "openai_compatible"
    model: str = "tiny.gguf"
    """What it loads, below tests/live/model."""
    idle_layers: int
    """That make it slow: between 40 and 100 words a second on a quiet machine."""
    command: Callable[[Start], Sequence[str]] | None
    """None: it is no server, and runs in the process that asks it."""
    environ: Mapping[str, str] = field(default_factory=dict)
    health: str = "/health"
    """A route that answers 200 as soon as questions may be asked."""
    ready_within: float = 60.0
    prepare: Callable[[Start], None] | None = None
    """What is done once it runs."""
    metrics: Metrics | None = None
    tells_the_end: str = ""
    """Without metrics, the line of its log that says a request has ended or its caller has gone; a
    group holds for how long it was worked on."""

    counts_tokens: bool = True
    continues: bool = True
    tool_call: Expected = TOOL_CALL
    unknown_model: Expected | None = FailureClass.MODEL_MISSING
    """None: it answers whatever the name is."""
    wrong_key: Expected | None = FailureClass.REJECTED_KEY
    """None: it takes no keys."""
    too_long: Expected | None = FailureClass.TOO_LONG
    """None: it answers something, having cut the question."""


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
        # Tests leave in mid-word, which can cost a place for good: docs/connections/ollama.md
        "OLLAMA_NUM_PARALLEL": 8,
        "OLLAMA_DEBUG": 1,
    }
    environ = [f"{name}={value}" for name, value in settings.items()]
    return ["env", *environ, str(start.program), "serve"]


def _give_ollama_the_model(start: Start) -> None:
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
    prepare=_give_ollama_the_model,
    tells_the_end=r"\| 200 \| +(\S+) \|.* POST .*/v1/chat/completions",
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
            in_work="llamacpp:requests_processing", made="llamacpp:tokens_predicted_total"
        ),
        unknown_model=None,
    ),
    _OLLAMA,
    replace(
        _OLLAMA,
        name="ollama_native",
        provider="ollama",
        tells_the_end=r"\| 200 \| +(\S+) \|.* POST .*/api/chat",
    ),
    Kind(
        name="llama_cpp_python",
        engine="llama_cpp_python",
        server="llama_cpp_python",
        idle_layers=40,
        command=_llama_cpp_python,
        health="/docs",
        tells_the_end="Disconnected from client",
        counts_tokens=False,
        continues=False,
        tool_call=TOOL_AS_TEXT,
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
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the machine is not its own
            "OMP_NUM_THREADS": "1",
        },
        ready_within=600.0,
        metrics=Metrics(in_work="vllm:num_requests_running", made="vllm:generation_tokens_total"),
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
