"""Stage `report`: reports/index.html, the page on what was kept, why the rest was not, and the trained model.

Beside it reports/metrics.json, the numbers that DVC compares.
"""

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.errors import FacemaskError
from pipeline.paths import Paths
from pipeline.report.facts import PageContent
from pipeline.report.headline import write_headline
from pipeline.report.page import new_sprite_sheets, write_page
from pipeline.report.training import read_training
from pipeline.storage.manifest import read_manifest, to_frame


def report(limits: CurateParams, paths: Paths) -> None:
    """Write the page from the manifest, the measured tables, the reviews and the reports of training and evaluation."""
    manifest = read_manifest(paths.manifest)
    rows, licence = to_frame(manifest), manifest.schema.metadata[b"data_licence"].decode()
    training = read_training(paths)
    write_headline(paths)
    sheets = new_sprite_sheets(paths.page)
    for source, archives in rows.groupby("source", observed=True, sort=True)["archive"]:
        for archive in sorted(archives.dropna().unique()):
            sheets.add(str(source), _thumbnails(str(source), str(archive), paths))
    write_page(paths.page, sheets, PageContent(rows, limits, read_reviews(paths.review), licence, training=training))
    print(f"report: {paths.page}", flush=True)


def _thumbnails(source: str, archive: str, paths: Paths) -> pa.Table:
    """Columns path, thumb and landmarks of the measured table of one archive."""
    path = (paths.measured / source / archive).with_suffix(".parquet")
    try:
        return pq.read_table(path, columns=["path", "thumb", "landmarks"])
    except (OSError, pa.ArrowException) as error:
        raise FacemaskError(f"{path} cannot be read: run 'dvc repro measure@{source}'") from error
