"""llama.cpp's own HTTP server, run by the Python of its environment (see `deploy/engines.py`)."""

import signal
import sys

import xllamacpp  # type: ignore[import-not-found]  # of that environment


def main(model: str, port: str, key: str) -> None:
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.model_alias = {"tiny-receptionist"}
    options.hostnames, options.port = ["127.0.0.1"], int(port)
    options.api_keys = [key]
    options.n_ctx, options.n_parallel = 4096, 2
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = 1
    options.endpoint_metrics, options.ui = True, False
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
