"""`python -m ml_training <verb>`: prepare and slices, train, tune, calibrate, publish, evaluate and more."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

from ml_training.errors import BundleError, TrainingError, Unfinished
from ml_training.specs import load_config

ROOT = Path(__file__).resolve().parent
# The exit code of a sitting that ended before the work did: sysexits' EX_TEMPFAIL, "try again".
UNFINISHED = 75
DEFAULT_DATA = ROOT.parent.parent / "shared" / "data"


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code.

    Known problems end in one line on stderr, not in a traceback.
    """
    parser = _parser()
    options, more = parser.parse_known_args(arguments)
    # Overrides may stand behind options, too, which argparse itself does not take.
    if any("=" not in text or text.startswith("-") for text in more) or (
        more and not hasattr(options, "overrides")
    ):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        options.overrides = [*options.overrides, *more]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        return int(options.run(options) or 0)
    except Unfinished as error:
        sys.stdout.write(f"not finished: {error}; the same command goes on\n")
        return UNFINISHED
    except (TrainingError, BundleError, OSError) as error:
        # A full disk or a folder that is not ours to write is told like any other known problem.
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml_training", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="verb")
    training = verbs.add_parser("train", help="train a model; run again to continue an interrupted run")
    publish = verbs.add_parser(
        "publish", help="calibrate a trained run, evaluate it once on its test items, write a bundle"
    )
    evaluate = verbs.add_parser("evaluate", help="figures of a bundle on a manifest")
    calibration = verbs.add_parser(
        "calibrate", help="calibrate a trained run on its validation items; publish takes what it finds"
    )
    calibration.set_defaults(run=_calibrate)
    adopting = verbs.add_parser(
        "adopt", help="make a run folder of a bundle whose own run is gone, to calibrate and publish it anew"
    )
    adopting.add_argument("--bundle", type=Path, required=True, help="the bundle's folder")
    adopting.set_defaults(run=_adopt)
    blending = verbs.add_parser(
        "blend", help="make a run folder between a finished run and what it started from"
    )
    blending.add_argument("--of", type=Path, required=True, help="the finished run's folder")
    blending.add_argument("--share", type=float, default=0.5, help="of the finished run's weights, 0 to 1")
    blending.add_argument(
        "--start", type=Path, help="weights that the run came from by way of other runs; default: its init"
    )
    blending.add_argument("--run-dir", type=Path, required=True)
    blending.set_defaults(run=_blend)
    validating = verbs.add_parser(
        "validate", help="finished runs and bundles side by side on a config's validation images"
    )
    validating.add_argument("config", type=Path, help="YAML config, e.g. ml_training/configs/knee_xray.yaml")
    validating.add_argument("overrides", nargs="*", help="dotted.key=value")
    validating.add_argument(
        "--of", type=Path, nargs="+", required=True, help="run folders, .ckpt files in them, or bundles"
    )
    validating.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="also for each value of this column"
    )
    validating.add_argument(
        "--moved",
        action="store_true",
        help="also on slices without a disease into which a piece of another head, sick or not, was moved",
    )
    validating.add_argument("--data-dir", type=Path, default=DEFAULT_DATA)
    validating.add_argument("--json", action="store_true", help="JSON instead of a Markdown table")
    validating.set_defaults(run=_validate)
    tuning = verbs.add_parser("tune", help="search for better settings; run again, or beside, to go on")
    for verb in (training, tuning, adopting, calibration, publish):
        verb.add_argument("config", type=Path, help="YAML config, e.g. ml_training/configs/knee_xray.yaml")
        verb.add_argument("overrides", nargs="*", help="dotted.key=value")
        verb.add_argument("--run-dir", type=Path, required=True)
        verb.add_argument("--data-dir", type=Path, default=DEFAULT_DATA)
    training.add_argument("--quiet", action="store_true", help="no progress bar")
    training.add_argument(
        "--cv", type=int, default=0, metavar="N", help="N trainings, each judged on groups kept away from it"
    )
    training.add_argument(
        "--fold", type=int, default=0, metavar="K", help="with --cv: this fold only, beside others"
    )
    training.add_argument(
        "--max-minutes",
        type=float,
        default=0,
        metavar="M",
        help=f"end between two epochs before M minutes are over; exit code {UNFINISHED} if epochs are left",
    )
    training.set_defaults(run=_train)
    tuning.add_argument(
        "--space", type=Path, required=True, help="YAML, e.g. ml_training/configs/spaces/recipe.yaml"
    )
    tuning.add_argument("--trials", type=int, default=20, help="finished trials that the study shall hold")
    tuning.add_argument(
        "--storage", default="", help="database URL to share; default: a file in the run folder"
    )
    tuning.add_argument("--quiet", action="store_true", help="no progress bars")
    tuning.set_defaults(run=_tune)
    publish.add_argument("--bundle-dir", type=Path, required=True, help="where the bundle folder is written")
    publish.set_defaults(run=_publish)
    evaluate.add_argument("bundle", type=Path)
    evaluate.add_argument("manifest", type=Path)
    evaluate.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE", help="only these rows"
    )
    evaluate.add_argument("--group-column", default="group", help="empty: every image stands for itself")
    evaluate.add_argument("--out", type=Path, help="folder for metrics.json, predictions.csv and report.html")
    evaluate.add_argument(
        "--surroundings", action="store_true", help="figures with other frames around the images, instead"
    )
    evaluate.add_argument(
        "--label", default="", help="with --surroundings: the label of every row, e.g. brain_mri for the gate"
    )
    evaluate.set_defaults(run=_evaluate)
    comparing = verbs.add_parser("compare", help="cross-validations over the same folds, side by side")
    comparing.add_argument("runs", type=Path, nargs="+", help="their run folders; the first is the measure")
    comparing.add_argument("--data-dir", type=Path, default=DEFAULT_DATA)
    comparing.add_argument("--json", action="store_true", help="JSON instead of a Markdown table")
    comparing.set_defaults(run=_compare)
    chain = verbs.add_parser("recipe", help="a whole chain of trainings, in one command that goes on")
    chain.add_argument("recipe", type=Path, help="YAML, e.g. ml_training/configs/recipes/gpu.yaml")
    chain.add_argument("overrides", nargs="*", help="dotted.key=value, for all trainings")
    chain.add_argument("--data-dir", type=Path, default=DEFAULT_DATA)
    chain.add_argument("--runs-dir", type=Path, default=Path("var/recipe"))
    chain.add_argument("--bundle-dir", type=Path, help="default: `bundles` in the folder of runs")
    chain.add_argument(
        "--max-minutes", type=float, default=0, metavar="M", help="end this sitting before M minutes are over"
    )
    chain.add_argument("--list", action="store_true", help="show the steps and what is done, and end")
    chain.add_argument("--quiet", action="store_true", help="no progress bars")
    chain.set_defaults(run=_recipe)
    for verb in (training, chain):
        verb.add_argument(
            "--devices",
            default="auto",
            help="how many devices, or which ones: 2 or 0,3; several train by DDP",
        )
    from ml_training.data.mirror import add_mirror
    from ml_training.data.prepare_verb import add_prepare
    from ml_training.data.volumes import add_slices

    add_prepare(verbs)
    add_slices(verbs)
    add_mirror(verbs)
    return parser


def _train(options: argparse.Namespace) -> None:
    from ml_training.train import train

    config = load_config(options.config, options.overrides)
    deadline = time.monotonic() + 60 * options.max_minutes if options.max_minutes else None
    if options.cv:
        from ml_training.cv import cross_validate, summary

        whole = cross_validate(
            config,
            options.data_dir,
            options.run_dir,
            options.cv,
            not options.quiet,
            options.devices,
            options.fold,
            deadline,
        )
        sys.stdout.write((summary(whole) if whole else f"{options.run_dir}: fold {options.fold}") + "\n")
        return
    if options.fold:
        raise TrainingError("--fold belongs to --cv")
    best = train(
        config,
        options.data_dir,
        options.run_dir,
        progress=not options.quiet,
        devices=options.devices,
        deadline=deadline,
    )
    sys.stdout.write(f"{best}\n")


def _recipe(options: argparse.Namespace) -> None:
    from ml_training.recipe import Places, cook, plan, read_recipe

    recipe = read_recipe(options.recipe, options.overrides)
    if not options.list:
        places = Places(
            options.data_dir, options.runs_dir, options.bundle_dir or options.runs_dir / "bundles"
        )
        deadline = time.monotonic() + 60 * options.max_minutes if options.max_minutes else None
        cook(recipe, places, not options.quiet, deadline, options.devices)
    sys.stdout.write(plan(recipe, options.runs_dir) + "\n")


def _tune(options: argparse.Namespace) -> None:
    try:
        from ml_training.tune import read_space, tune
    except ImportError as error:
        raise TrainingError("tune needs `pip install -r requirements.txt`") from error

    config = load_config(options.config, options.overrides)
    space = read_space(options.space, config)
    best = tune(
        config,
        space,
        options.data_dir,
        options.run_dir,
        options.trials,
        options.storage,
        progress=not options.quiet,
    )
    sys.stdout.write(json.dumps(best, indent=1) + "\n")


def _adopt(options: argparse.Namespace) -> None:
    from ml_training.adopt import adopt

    config = load_config(options.config, options.overrides)
    sys.stdout.write(f"{adopt(config, options.data_dir, options.run_dir, options.bundle)}\n")


def _blend(options: argparse.Namespace) -> None:
    from ml_training.adopt import blend

    sys.stdout.write(f"{blend(options.of, options.run_dir, options.share, options.start)}\n")


def _compare(options: argparse.Namespace) -> None:
    from ml_training.compare import compare, plain, table

    rows = compare(options.runs, options.data_dir)
    sys.stdout.write((json.dumps(plain(rows), indent=1) if options.json else table(rows)) + "\n")


def _validate(options: argparse.Namespace) -> None:
    from ml_training.labels import task_of
    from ml_training.validate import plain, table, validate

    config = load_config(options.config, options.overrides)
    lines = validate(config, options.data_dir, options.of, options.by, options.moved)
    shown = json.dumps(plain(lines), indent=1) if options.json else table(lines, task_of(config.kind))
    sys.stdout.write(shown + "\n")


def _calibrate(options: argparse.Namespace) -> None:
    from ml_training.calibrating import FILE, calibrate_run

    config = load_config(options.config, options.overrides)
    found = calibrate_run(config, options.data_dir, options.run_dir)
    sys.stdout.write(json.dumps(found.quality, indent=1) + "\n")
    sys.stdout.write(f"{options.run_dir / FILE}\n")


def _publish(options: argparse.Namespace) -> None:
    from ml_training.publish import publish

    config = load_config(options.config, options.overrides)
    path = publish(config, options.data_dir, options.run_dir, options.bundle_dir)
    sys.stdout.write(f"{path}\n")


def _evaluate(options: argparse.Namespace) -> None:
    from ml_training.evaluation import choose, evaluate

    if options.surroundings:
        if options.out:
            raise TrainingError("--surroundings writes no files; leave out --out")
        from ml_training.bundle import Bundle
        from ml_training.labels import task_of
        from ml_training.surroundings import surroundings

        bundle = Bundle.load(options.bundle)
        items = choose(
            options.manifest, task_of(bundle.kind), options.where, options.group_column, options.label
        )
        sys.stdout.write(json.dumps(surroundings(bundle, items), indent=1) + "\n")
        return
    if options.label:
        raise TrainingError("--label belongs to --surroundings")
    figures = evaluate(options.bundle, options.manifest, options.where, options.group_column, options.out)
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
