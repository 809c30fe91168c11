"""A dataset described for programs: Croissant 1.0 of MLCommons, JSON-LD that dataset hubs and search engines read.

    distribution   each file with its address, size, media type and sha256
    recordSet      the table, one field for each column with its type, units and description

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import json
from typing import Any

from stores.dataset_facts import ColumnFacts, DatasetFacts

__all__ = ["croissant_text", "licence_address"]

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {
    "f": "sc:Float",
    "i": "sc:Integer",
    "u": "sc:Integer",
    "b": "sc:Boolean",
    "s": "sc:Text",
}  # by the first letter
ROW = "position in the arrays of the store"


def croissant_text(facts: DatasetFacts) -> str:
    """The content of croissant.json."""
    publication = facts.publication
    content: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": publication.name,
        "description": publication.description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": facts.citation,
        "creator": [{"@type": "sc:Organization", "name": name} for name in publication.creators],
        "datePublished": publication.date.isoformat(),
        "license": licence_address(facts.licence),
        "version": publication.version,
        **({"url": publication.url} if publication.url else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": file.name,
                "description": file.description,
                "contentUrl": file.name,
                "contentSize": f"{file.n_bytes} B",
                "encodingFormat": file.media_type,
                "sha256": file.sha256,
            }
            for file in facts.files
        ],
        "recordSet": [_record_set(facts)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def licence_address(licence: str) -> str:
    """The address of a licence that is given as an SPDX identifier; an address as it is."""
    return licence if licence.startswith("http") else f"https://spdx.org/licenses/{licence}.html"


def _record_set(facts: DatasetFacts) -> dict[str, Any]:
    name = f"{facts.sample_dim}s"
    by_name = {column.name: column for column in facts.columns}
    row = ColumnFacts(name="row", dims="", dtype="int64", units="dimensionless", description=ROW)
    columns = [row, *(by_name[column] for column in facts.table_columns)]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"the columns with one value for each {facts.sample_dim}; arrays are in the Zarr store",
        "key": {"@id": f"{name}/row"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "description": column.text,
                "dataType": TYPES[column.dtype[0]],
                "source": {"fileObject": {"@id": f"{name}.csv"}, "extract": {"column": column.name}},
            }
            for column in columns
        ],
    }
