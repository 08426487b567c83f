"""`polyhash serve`: answering over gRPC until told to stop."""

import signal
import threading
from typing import Annotated

import typer

from service.cli import console
from service.cli.options import StoreOption


def serve(
    store: StoreOption,
    address: Annotated[
        str, typer.Option("--address", help="HOST:PORT to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    grace_s: Annotated[
        float, typer.Option("--grace-s", help="Seconds that calls in flight get when stopping.")
    ] = 10.0,
) -> None:
    """Serve a store over gRPC. SIGTERM and Ctrl-C stop it after the calls in flight are done."""
    from service import compose

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with compose.open_application(store, purpose=f"polyhash serve --address {address}") as application:
        server = compose.server(application)
        port = server.start(address)
        console.out.print(
            f"Serving {len(application.gallery):,} images on {address.rpartition(':')[0]}:{port}"
        )
        stop.wait()
        console.say("Stopping: no new calls, finishing those in flight.")
        server.stop(grace_s)
