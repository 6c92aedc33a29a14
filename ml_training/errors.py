"""Errors that a person running the pipeline can act on."""


class TrainingError(Exception):
    """A one-line, actionable problem with a manifest, a config, a checkpoint or a run."""


class Diverged(TrainingError):
    """A training whose loss is no number any more."""


class Unfinished(TrainingError):
    """A sitting's time is over before the work is; the same command goes on where it ended."""


class BundleError(Exception):
    """A model bundle is missing, incomplete, tampered with or of an unknown format."""
