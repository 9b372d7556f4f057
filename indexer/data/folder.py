"""Any folder of images, without labels: DIR/**/IMAGE. Its subfolders mean nothing; `imagefolder:` is for classes."""

from __future__ import annotations

from evigraph.indexer.data.formats import LeftOut
from evigraph.indexer.data.listing import some_image_uris
from evigraph.indexer.data.request import DataRequest
from evigraph.indexer.data.samples import DataSource, Sample, sorted_samples
from evigraph.indexer.data.sources import layout


@layout("folder", "DIR")
def open_folder(request: DataRequest) -> DataSource:
    """List every image below a folder."""
    left_out = LeftOut()
    uris = some_image_uris(request.place, "", left_out)
    samples = sorted_samples(map(Sample, uris))
    return DataSource(request.spec, request.place, samples, request.class_list, notes=left_out.notes())
