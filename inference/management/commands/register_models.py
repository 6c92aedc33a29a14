"""`manage.py register_models`: make the bundles on disk known to the site."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference import bundle_places, registry, services
from inference.models import ModelVersion
from pmi_site.errors import UserError


class Command(BaseCommand):
    """Registers every whole bundle; idempotent."""

    help = (
        "Verifies and registers the model bundles of PMI_BUNDLE_DIR and PMI_EXTRA_BUNDLE_DIRS. Where no "
        "version of a kind is active, the newest one is activated; --activate-newest does so in any case, "
        "--replace-missing where the files of the active one are gone, as after an update of PMI. "
        "Missing and corrupt bundles are named; then the exit code is 1. A folder without "
        "configs/metadata.json is no bundle and passed over."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--activate-newest", action="store_true", help="activate the newest version of every kind"
        )
        parser.add_argument(
            "--replace-missing",
            action="store_true",
            help="activate the newest version of a kind whose active, older version has no files any more",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Registers, activates, reports."""
        from ml_training.bundle import Bundle
        from ml_training.errors import BundleError

        self.refused: list[str] = []
        for folder in bundle_places.other_folders():
            self.stderr.write(f"passed over: {folder} has no {registry.METADATA.as_posix()}")
        whole: list[registry.BundleFacts] = []
        broken: list[str] = []
        for folder in bundle_places.folders():
            try:
                facts = registry.inspect(folder)
                Bundle.load(folder)
            except registry.BundleMissing as error:
                broken.append(f"missing: {error}")
            except (registry.BundleCorrupt, BundleError) as error:
                broken.append(f"corrupt: {error}")
            else:
                whole.append(facts)
        for facts in whole:
            version, created = services.register_bundle(facts)
            self.stdout.write(f"{'registered' if created else 'known'}: {version.kind} {version.version}")
        self._activate(
            registry.newest_per_kind(whole),
            always=options["activate_newest"],
            replace_missing=options["replace_missing"],
        )
        for line in [*broken, *self.refused]:
            self.stderr.write(line)
        absent = [
            kind
            for kind in registry.KINDS
            if not ModelVersion.objects.filter(kind=kind, is_active=True).exists()
        ]
        if absent:
            self.stderr.write(f"no model for: {', '.join(absent)}")
        if broken:
            raise CommandError(f"{len(broken)} bundle(s) cannot be used.")
        if self.refused:
            raise CommandError("Not activated: run `load_knowledge_base`, or fill the holes on the desk.")

    def _activate(
        self, newest: dict[str, registry.BundleFacts], *, always: bool, replace_missing: bool
    ) -> None:
        for kind, facts in newest.items():
            active = ModelVersion.objects.filter(kind=kind, is_active=True).first()
            gone = active is not None and bundle_places.look(active).state == "missing"
            # An older one is no update: a folder of bundles may only be out of reach.
            newer = active is None or registry.version_key(facts.version) > registry.version_key(
                active.version
            )
            replace = gone and newer and replace_missing
            if active and gone and not (always or replace):
                # Which model reads is a person's decision; that none can read must not go unseen.
                self.stderr.write(
                    f"{kind} {active.version} is active and its files are gone: nothing of this kind can be "
                    f"read. Put them back, or promote {facts.version} in the admin."
                )
            if active and not (always or replace):
                continue
            version = ModelVersion.objects.get(sha256=facts.sha256)
            if not version.is_active:
                try:
                    services.activate(version)
                except UserError as error:
                    self.refused.append(error.message)
                    continue
                self.stdout.write(f"activated: {version.kind} {version.version}")
