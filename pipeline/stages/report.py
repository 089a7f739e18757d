"""Stage `report`: reports/index.html, the page on what was kept, why the rest was not, and the trained model.

Beside it reports/metrics.json, the numbers that DVC compares.
"""

import pyarrow as pa

from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.paths import Paths
from pipeline.report.facts import PageContent
from pipeline.report.headline import write_headline
from pipeline.report.page import new_sprite_sheets, write_page
from pipeline.report.training import read_training
from pipeline.storage.manifest import MEASURED_SCHEMA, read_manifest, read_table, to_frame

_SHOWN = pa.schema([MEASURED_SCHEMA.field(name) for name in ("path", "thumb", "landmarks")])


def report(limits: CurateParams, paths: Paths) -> None:
    """Write the page from the manifest, the measured tables, the reviews and the reports of training and evaluation."""
    manifest = read_manifest(paths.manifest)
    rows, licence = to_frame(manifest), manifest.schema.metadata[b"data_licence"].decode()
    training = read_training(paths)
    write_headline(paths)
    sheets = new_sprite_sheets(paths.page)
    for source, archives in rows.groupby("source", observed=True, sort=True)["archive"]:
        for archive in sorted(archives.dropna().unique()):
            table = (paths.measured / str(source) / str(archive)).with_suffix(".parquet")
            sheets.add(str(source), read_table(table, _SHOWN, f"dvc repro measure@{source}"))
    write_page(paths.page, sheets, PageContent(rows, limits, read_reviews(paths.review), licence, training=training))
    print(f"report: {paths.page}", flush=True)
