"""Any folder of images, without labels: DIR/**/IMAGE. Its subfolders mean nothing; `imagefolder:` is for classes."""

from __future__ import annotations

from evigraph.indexer.data.listing import IMAGE_SUFFIXES, image_uris
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout
from evigraph.schema.errors import DataError


@layout("folder", "DIR")
def open_folder(request: DataRequest) -> DataSource:
    """List every image below a folder."""
    uris = image_uris(request.place, "")
    if not uris:
        raise DataError(f"{str(request.place)!r} holds no images ({' '.join(sorted(IMAGE_SUFFIXES))})")
    return DataSource(request.spec, request.place, sorted_samples(map(Sample, uris)), request.class_list)
