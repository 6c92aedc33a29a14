"""The options of `python -m ml_training prepare` and the way through it."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from ml_training.errors import TrainingError

logger = logging.getLogger(__name__)


def add_prepare(verbs: Any) -> None:
    """Add the verb to the parser's verbs."""
    verb: argparse.ArgumentParser = verbs.add_parser(
        "prepare", help="check images, find duplicates and shortcuts, split by whole groups, write a report"
    )
    verb.add_argument(
        "source",
        nargs="?",
        default="",
        help="a manifest CSV, a class-per-folder tree, a DICOM folder, or a catalogue name",
    )
    verb.add_argument(
        "--from-reviews",
        type=Path,
        metavar="FOLDER",
        help="instead of a source: an export of signed reviews (manage.py export_reviews); needs --kind",
    )
    verb.add_argument(
        "--out", type=Path, required=True, help="folder for manifest.csv, problems.csv, report.html"
    )
    verb.add_argument("--dicom", action="store_true", help="the folder holds DICOM files")
    verb.add_argument("--labels", type=Path, help="with --dicom: CSV with the columns file and label")
    verb.add_argument(
        "--folders-are-labels",
        action="store_true",
        help="with --dicom: its folders are named after labels, not after people",
    )
    verb.add_argument(
        "--key-file", type=Path, help="with --dicom: key of the patient hashes, made when absent"
    )
    verb.add_argument("--kind", default="", help="check labels against this kind, e.g. knee_xray")
    verb.add_argument("--label-column", default="", help="default: label, else labels")
    verb.add_argument(
        "--group-column", default="", help="patient or other group; default: group where there is one"
    )
    verb.add_argument("--source-column", default="source", help="hospital or collection")
    verb.add_argument(
        "--keep-split", default="", metavar="COLUMN", help="keep this split instead of making one"
    )
    verb.add_argument("--val", type=float, default=0.15, help="share of validation images")
    verb.add_argument("--test", type=float, default=0.15, help="share of test images")
    verb.add_argument(
        "--folds", type=int, default=5, help="cross-validation folds over all but the test images"
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Prepare as the options say.

    Raises:
        TrainingError: the source is unknown or unusable, or a group would straddle.
    """
    from ml_training.data import prepare as work
    from ml_training.data import sources
    from ml_training.data.catalogue import NOT_PUBLISHED, catalogue, fetch
    from ml_training.data.reviews import from_reviews
    from ml_training.labels import task_of

    if options.kind:
        task_of(options.kind)
    if not (0 <= options.val < 1 and 0 <= options.test < 1 and options.val + options.test < 1):
        raise TrainingError(f"--val {options.val} and --test {options.test} leave nothing to learn from")
    if options.folds < 2:
        raise TrainingError(f"--folds {options.folds}: at least 2")
    if bool(options.source) == bool(options.from_reviews):
        raise TrainingError("name one source: a file, a folder, a catalogue name, or --from-reviews FOLDER")
    path, known = options.from_reviews or Path(options.source), catalogue()
    origin: list[str] = []
    if path.is_file() and path.resolve() == (options.out / "manifest.csv").resolve():
        raise TrainingError(f"--out {options.out}: it would write over the manifest that it reads")
    if options.from_reviews:
        if not options.kind or options.dicom or options.group_column not in ("", "group"):
            raise TrainingError("--from-reviews needs --kind, and keeps the groups of the export")
        found, origin = from_reviews(path, options.kind)
    elif options.dicom:
        if options.key_file is None:
            raise TrainingError(
                "--dicom needs --key-file, the key of the patient hashes; keep it apart from the data"
            )
        if not path.is_dir():
            raise TrainingError(f"{path}: no such folder")
        key = sources.read_key(options.key_file)
        found = sources.from_dicom(
            path,
            options.out / "images",
            key,
            options.labels,
            None if options.folders_are_labels else task_of(options.kind).names if options.kind else (),
        )
    elif path.is_dir():
        found = sources.from_tree(path)
    elif path.is_file():
        found = sources.from_manifest(path)
    elif options.source in known:
        chosen = known[options.source]
        found = sources.from_tree(fetch(chosen, options.out / "downloads"))
        origin = [chosen.title, f"From {chosen.page}. Licence: {chosen.licence}. Cite: {chosen.citation}"]
        origin += [f"Checksum of {file.name}: {file.checksum or NOT_PUBLISHED}." for file in chosen.files]
    else:
        raise TrainingError(
            f"{options.source!r} is no file, folder or catalogue name; the catalogue has "
            f"{', '.join(sorted(known))}"
        )
    result = work.prepare(
        found,
        work.Options(
            label_column=options.label_column,
            group_column=options.group_column,
            source_column=options.source_column,
            kind=options.kind,
            keep_split=options.keep_split,
            val=options.val,
            test=options.test,
            folds=options.folds,
            seed=options.seed,
        ),
    )
    title = options.source
    if path.exists():
        title = path.resolve().parent.name if path.is_file() else path.resolve().name
    work.write(result, found, options.out, title, origin)
    logger.info(
        "%d images in %d groups, %d problems, %d duplicate pairs across given groups: %s",
        len(result.rows),
        len(set(result.groups)),
        len(result.problems),
        len(result.across()),
        options.out / "report.html",
    )
