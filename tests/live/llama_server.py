"""Runs llama.cpp's HTTP server, in the environment that `deploy/engines.py` builds for it."""

import signal
import sys

import xllamacpp  # type: ignore[import-not-found]  # installed in that environment only


def main(model: str, port: str, key: str) -> None:
    options = xllamacpp.CommonParams()
    options.model.path = model
    options.model_alias = {"tiny-receptionist"}
    options.hostnames = ["127.0.0.1"]
    options.port = int(port)
    options.api_keys = [key]
    options.n_ctx = 4096
    options.n_parallel = 2
    options.cpuparams.n_threads = 1
    options.cpuparams_batch.n_threads = 1
    options.endpoint_metrics = True
    options.ui = False
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
