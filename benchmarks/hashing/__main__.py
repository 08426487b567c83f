"""`python -m benchmarks.hashing`: measure what is not measured yet, then write every table of docs/hashing.md.

In: options. Out: rows in a results file, pages of Markdown in a folder and on standard output. `python -m
benchmarks.hashing cost` measures time and memory instead.
"""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from benchmarks.hashing import cost
from benchmarks.hashing.embeddings import embed
from benchmarks.hashing.measure import Cell
from benchmarks.hashing.methods import REFERENCES, choose_methods
from benchmarks.hashing.results import Place, Results
from benchmarks.hashing.run import run
from benchmarks.hashing.sets import SETS, SetError, find_set
from benchmarks.hashing.tables import goals_page, overview_page, page, raw_rows
from hashing.codes import check_lengths
from hashing.errors import HashingError
from service.cli import console
from service.compose import hashing_methods
from service.errors import PolyhashError
from service.usecases.protocols import Setting

REPOSITORY = Path(__file__).parents[2]
DEFAULT_DATA = Path("../shared/data")  # beside the repository
DEFAULT_SETS = "digits,scene6,coco128,corel1k,caltech101,mnist10k,cifar10@10000,cifar10"
FULL_CIFAR = "cifar10"  # 49,000 images
FRESH_SEED = 5  # methods were chosen while looking at the draws of seeds 0 to 4
FIGURE_OPTIONS = (
    "sets",
    "backbones",
    "settings",
    "methods",
    "asymmetric",
    "lengths",
    "seeds",
    "first_seed",
    "jobs",
)


def main() -> None:
    """Measure and print."""
    try:
        if sys.argv[1:2] == ["cost"]:
            cost.main(sys.argv[2:])
        else:
            _measure_and_publish(_parser().parse_args())
    except KeyboardInterrupt:
        console.say("Interrupted; run again to go on.")
        sys.exit(130)


def _measure_and_publish(options: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers end too
    command = _command(options)
    try:
        results = Results(options.results) if options.print_only else _measure(options)
    except (SetError, HashingError, PolyhashError) as error:
        sys.exit(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    for place in results.places():
        _publish(options.out / f"{'-'.join(place)}.md", page(results, place, command=command))
    (options.out / "rows.csv").write_text(raw_rows(results), encoding="utf-8")
    _publish(options.out / "overview.md", overview_page(results, command=command))
    _publish(options.out / "goals.md", goals_page(results, command=command))


def _measure(options: argparse.Namespace) -> Results:
    """Return the results after all cells that the options ask for were measured."""
    places = _places(options.sets.split(","), options.backbones)
    methods = {
        name: [REFERENCES, *choose_methods(options.methods, short=name == FULL_CIFAR)] for name, _ in places
    }
    cells = [
        Cell(set_name=name, backbone=backbone, setting=setting, seed=seed, method=method)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for name, backbone in places
        for setting in options.settings
        for method in methods[name]
    ]
    results = Results(options.results)
    missing = results.missing(cells, options.lengths, asymmetric=options.asymmetric)
    console.say(f"{len(cells) - len(missing):,} of {len(cells):,} fits were measured before.")
    needed = dict.fromkeys((cell.set_name, cell.backbone) for cell in missing)
    files = {place: embed(*place, data=options.data, keep=options.cache) for place in needed}
    run(missing, files, results, lengths=options.lengths, asymmetric=options.asymmetric, jobs=options.jobs)
    return results


def _places(names: list[str], backbones: str | None) -> list[Place]:
    """Return the sets with each of their backbones, or with those that are asked for; features of its own a set keeps."""
    wanted = backbones.split(",") if backbones else None
    places = []
    for name in names:
        available = find_set(name).backbones
        chosen = available if wanted is None or len(available) == 1 else wanted
        places += [(name, backbone) for backbone in chosen]
    return places


def _publish(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    print(text)


def _command(options: argparse.Namespace) -> str:
    """Return the command that gives the same figures, without the folders of this machine."""
    words = ["python", "-m", "benchmarks.hashing"]
    for name in FIGURE_OPTIONS:
        value, default = getattr(options, name), _parser().get_default(name)
        if value != default:
            words += [
                f"--{name.replace('_', '-')}",
                ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value),
            ]
    return shlex.join(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hashing",
        description="Compare hashing methods on all sets. `cost` as first argument measures time and memory.",
    )
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY / DEFAULT_DATA, help="folder of the image sets"
    )
    parser.add_argument(
        "--print-only", action="store_true", help="measure nothing; write the pages of the rows so far"
    )
    parser.add_argument("--cache", type=Path, default=Path(".bench-cache"), help="embeddings are kept here")
    parser.add_argument(
        "--results", type=Path, default=Path(".bench-cache/hashing.jsonl"), help="rows so far"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/hashing"), help="folder of the pages")
    parser.add_argument(
        "--sets", default=DEFAULT_SETS, help=f"of {', '.join(SETS)}; SET@SIZE searches part of one"
    )
    parser.add_argument("--backbones", help="mobilenet_v2, descriptor; default: all")
    parser.add_argument("--settings", type=_settings, default=[setting.value for setting in Setting])
    parser.add_argument("--methods", help="default: all, and for the whole of cifar10 a short list")
    parser.add_argument("--asymmetric", type=_methods, default=["jmh"], metavar="METHODS")
    parser.add_argument("--lengths", type=_lengths, default=(8, 16, 32, 64, 128))
    parser.add_argument("--seeds", type=_at_least_one, default=5)
    parser.add_argument(
        "--first-seed", type=int, default=FRESH_SEED, help="those below were seen while developing"
    )
    parser.add_argument("--jobs", type=_at_least_one, default=2, help="fits at a time, each in one thread")
    return parser


def _settings(text: str) -> list[str]:
    there, names = [setting.value for setting in Setting], text.split(",")
    if wrong := [name for name in names if name not in there]:
        raise argparse.ArgumentTypeError(f"there is no setting {wrong[0]!r}, choose from {', '.join(there)}")
    return list(dict.fromkeys(names))


def _methods(text: str) -> list[str]:
    try:
        return list(hashing_methods(text.split(","))) if text else []
    except PolyhashError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return check_lengths([int(bits) for bits in text.split(",")])
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            str(error)
            if isinstance(error, HashingError)
            else f"expected whole numbers separated by commas, for example 16,32,64, got {text!r}"
        ) from error


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


if __name__ == "__main__":
    main()
