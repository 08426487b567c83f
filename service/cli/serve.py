"""`polyhash serve`: answering over gRPC until told to stop."""

import os
import signal
import threading
from typing import Annotated

import typer

from service.cli import console
from service.cli.options import (
    BackboneOption,
    NearDuplicatesOption,
    StoreOption,
    SynchronousOption,
    parse_near_duplicates,
)


def serve(
    store: StoreOption,
    backbone: BackboneOption = None,
    address: Annotated[
        str, typer.Option("--address", help="HOST:PORT to listen on; port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    synchronous: SynchronousOption = "full",
    near_duplicates: NearDuplicatesOption = "allow",
    grace_s: Annotated[
        float, typer.Option("--grace-s", help="Seconds that calls in flight get when stopping.")
    ] = 10.0,
) -> None:
    """Serve a store over gRPC. SIGTERM and Ctrl-C stop it after the calls in flight are done."""
    # Calls run beside each other, so each gets one thread; must be said before NumPy and torch are loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from service import compose
    from service.cli.sessions import open_session

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    purpose = f"polyhash serve --address {address}"
    with open_session(
        store,
        purpose=purpose,
        backbone=backbone,
        serving=True,
        synchronous=synchronous,
        duplicates=parse_near_duplicates(near_duplicates),
    ) as session:
        application = session.application
        with compose.serving(application, address, grace_s=grace_s) as port:
            host = address.rpartition(":")[0]
            console.out.print(f"Serving {len(application.gallery):,} images on {host}:{port}", soft_wrap=True)
            stop.wait()
            console.say("Stopping: no new calls, finishing those in flight.")
