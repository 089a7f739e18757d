"""Stage `curate`: measured tables and data/review.csv in, data/manifest.parquet out: a row for every image ever seen.

Beside it reports/curation.json (counts of what was kept, and why the rest was not), reports/reasons.csv, its plot, and
reports/groups.csv (who is dropped).
"""

from collections.abc import Mapping

import pyarrow as pa

from pipeline.curation.face_patches import patch_array
from pipeline.curation.reviews import read_reviews
from pipeline.curation.rules import CurateParams
from pipeline.curation.summary import write_summary
from pipeline.curation.verdicts import (
    MeasuredImages,
    join,
    manifest_rows,
    refuse_empty_domain,
    refuse_too_many_duplicates,
)
from pipeline.errors import FacemaskError
from pipeline.paths import INDEX, Paths
from pipeline.sources.config import Source, of_ffhq
from pipeline.storage.licences import licence_metadata
from pipeline.storage.manifest import (
    COMPARED_SCHEMA,
    INDEX_SCHEMA,
    NUMBERS_SCHEMA,
    read_table,
    to_frame,
    write_manifest,
)


def curate(limits: CurateParams, sources: Mapping[str, Source], paths: Paths) -> None:
    """Write the manifest of all sources, which are by name.

    Raises FacemaskError, and leaves the earlier manifest, where a measured table does not match its source, where a
    domain is left empty, and where too many images are near-duplicates.
    """
    images = join([_measured_images(name, source, paths) for name, source in sources.items()])
    rows = manifest_rows(images, limits, read_reviews(paths.review))
    refuse_too_many_duplicates(rows, limits)
    refuse_empty_domain(rows)
    write_manifest(rows, paths.manifest, licence_metadata(rows))
    write_summary(rows, paths.reports)


def _measured_images(name: str, source: Source, paths: Paths) -> MeasuredImages:
    """Index and measurements of one source, joined: a row for each image of the index, of which none may be missing."""
    measure_again = f"dvc repro measure@{name}"
    index = read_table(paths.raw / name / INDEX, INDEX_SCHEMA, f"dvc repro fetch@{name}")
    folder = paths.measured / name
    tables = [read_table(path, COMPARED_SCHEMA, measure_again) for path in sorted(folder.glob("*.parquet"))]
    table = pa.concat_tables(tables or [COMPARED_SCHEMA.empty_table()])
    measured = to_frame(table.select(NUMBERS_SCHEMA.names))
    attribution = index.select(["path", "licence", "author", "url"]).to_pandas()
    images = measured.merge(attribution, on="path", how="inner", validate="1:1")
    if not len(images) == len(measured) == index.num_rows:
        raise FacemaskError(f"{folder} does not match {paths.raw / name}: run '{measure_again}'")
    images = images.assign(source=name, domain=source.domain, of_ffhq=of_ffhq(source), kind=source.kind)
    return MeasuredImages(images, patch_array(table.column("face_patch")))
