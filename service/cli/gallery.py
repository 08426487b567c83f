"""`polyhash index` and `polyhash stats`: filling a store and saying what it holds."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import console
from service.cli.options import (
    BackboneOption,
    JsonOption,
    LabelOption,
    NearDuplicatesOption,
    StoreOption,
    SynchronousOption,
    parse_lengths,
    parse_near_duplicates,
)
from service.cli.sessions import learn, open_session

if TYPE_CHECKING:
    from service.application import Application
    from service.compose import Session
    from service.usecases.reading import Rejected
    from service.vision.datasets import ImageSet

DEFAULT_LENGTHS = (16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What became of the images of a set: how many were new or there already, which nearly repeat others or were skipped."""

    added: int
    known: int
    near: int
    skipped: list["Rejected"]
    seconds: float


def index(
    source: Annotated[
        str, typer.Argument(help="Image SET: a folder, or SET:SPLIT of a folder with labels.csv.")
    ],
    store: StoreOption,
    backbone: BackboneOption = None,
    hasher: Annotated[
        Path | None,
        typer.Option("--hasher", help="Use this hasher file instead of learning one.", show_default=False),
    ] = None,
    label: LabelOption = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--lengths",
            help="Code lengths to learn for a new store, in bits, separated by commas. Default: 16,32,64,128.",
            show_default=False,
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Keep a copy of every new original in the store.")
    ] = False,
    synchronous: SynchronousOption = "full",
    near_duplicates: NearDuplicatesOption = "allow",
    json: JsonOption = False,
) -> None:
    """Take the images of a SET into a store; the first time, learn a hasher from them.

    Run it again after an interruption: it continues where it was. Images that cannot be read are named and skipped.
    """
    from service.vision.datasets import open_image_set

    image_set = open_image_set(source, label=label)
    wanted = parse_lengths(lengths) if lengths else None
    with open_session(
        store,
        purpose=f"polyhash index {source}",
        create=True,
        backbone=backbone,
        hasher_file=hasher,
        copy_all=copy,
        synchronous=synchronous,
        duplicates=parse_near_duplicates(near_duplicates),
    ) as session:
        _check_lengths(session.application, wanted)
        if near_duplicates != "allow" and not session.application.gallery.hasher:
            console.say("The store has no codes yet, so this run does not look for near duplicates.")
        taken = take_in(session.application, image_set)
        learn_if_needed(session, lengths=wanted or DEFAULT_LENGTHS)
        for note in image_set.notes():
            console.say(note)
        _report(taken, session.application, json=json)
    if taken.skipped and not taken.added and not taken.known:
        raise typer.Exit(1)


def take_in(application: "Application", images: "ImageSet") -> Intake:
    """Take images into the gallery with a progress bar, naming what is skipped."""
    from service.usecases.ingest import Accepted
    from service.usecases.reading import in_chunks

    added = known = near = 0
    skipped: list[Rejected] = []
    started = time.perf_counter()
    with console.progress("Indexing", total=len(images), unit="images") as meter:
        for outcome in application.ingestor.run(in_chunks(images)):
            if not isinstance(outcome, Accepted):
                skipped.append(outcome)
                console.complain(f"skipped {outcome.name}: {outcome.error}")
            elif outcome.acknowledgement.duplicate:
                known += 1
            else:
                added += 1
                if repeated := outcome.acknowledgement.near:
                    near += 1
                    console.say(
                        f"{outcome.name} nearly repeats image {repeated.image_id} ({repeated.distance} bits differ)."
                    )
            meter(added + known + len(skipped))
    return Intake(added=added, known=known, near=near, skipped=skipped, seconds=time.perf_counter() - started)


def learn_if_needed(session: "Session", *, lengths: tuple[int, ...] = DEFAULT_LENGTHS) -> None:
    """Learn a hasher from the images of a store that has none."""
    from service.usecases.learn import MIN_TRAINING_IMAGES

    application = session.application
    if application.gallery.hasher:
        return
    if application.catalog.counts().images < MIN_TRAINING_IMAGES:
        console.say(f"No codes yet: they are learned from {MIN_TRAINING_IMAGES} images on. Index more.")
        return
    learn(session, {"lengths": lengths, "random_state": 0})


def _check_lengths(application: "Application", wanted: tuple[int, ...] | None) -> None:
    """Refuse lengths that the store's hasher does not have: it is not learned anew."""
    from service.errors import ConflictError

    lengths = application.gallery.lengths
    if wanted and lengths and wanted != lengths:
        asked, known = (",".join(map(str, some)) for some in (wanted, lengths))
        raise ConflictError(
            f"The store has codes of {known} bits, --lengths asks for {asked}. Leave it out, or run "
            f"`polyhash train hasher --lengths {asked}` on the store.",
            reason="LENGTHS_CONFLICT",
        )


def _report(taken: Intake, application: "Application", *, json: bool) -> None:
    gallery, images = application.gallery, application.catalog.counts().images
    if json:
        console.show_json(
            {
                "added": taken.added,
                "known": taken.known,
                "near_duplicates": taken.near,
                "skipped": [
                    {"name": skip.name, "reason": skip.error.reason, "message": str(skip.error)}
                    for skip in taken.skipped
                ],
                "seconds": round(taken.seconds, 3),
                "images": images,
                "lengths": list(gallery.lengths),
                "backbone": gallery.backbone_identity,
                "hasher": gallery.hasher_identity,
                "sequence": gallery.sequence,
            }
        )
        return
    console.out.print(
        f"Added {taken.added:,} images in {taken.seconds:,.1f} s, {taken.known:,} were there already, "
        f"{len(taken.skipped):,} skipped. The gallery holds {images:,} images with codes of "
        f"{', '.join(map(str, gallery.lengths)) or 'no'} bits.",
        soft_wrap=True,
    )


def stats(store: StoreOption, json: JsonOption = False) -> None:
    """Say what a store holds: images, labels, models, code lengths."""
    from service import compose

    report = compose.describe_store(store)
    if json:
        console.show_json(report)
        return
    facts: list[tuple[object, ...]] = [
        (name.replace("_", " "), value)
        for name, value in report.items()
        if not isinstance(value, dict | list)
    ]
    console.show_table(f"Store {store}", {"fact": "left", "value": "left"}, facts)
    console.show_table(
        "Models",
        {"identity": "left", "kind": "left", "active": "left"},
        [(model["identity"], model["kind"], "yes" if model["active"] else "") for model in report["models"]],
    )
    console.show_table("Labels", {"label": "left", "images": "right"}, list(report["labels"].items()))
