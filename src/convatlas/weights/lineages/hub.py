"""Files of the Hugging Face hub: asked for with its own library, kept and verified by our store."""

from __future__ import annotations

import re
from pathlib import Path

from convatlas.base.errors import StoreError
from convatlas.base.store import Remote, fetch, offline, placed
from convatlas.catalogue.lineages import Weights


def download(weights: Weights) -> Path:
    """The file of weights whose address is a repository on the hub ("timm/resnet50.a1_in1k"), or plainly one.

    The hub tells the sha256 of a large file before it is sent.

    Raises:
        StoreError: The hub cannot be reached, or does not have it.
    """
    if "://" in weights.address:
        return fetch(Remote(weights.address, weights.file, weights.hash))
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(weights.address, weights.file)
    name = f"{weights.address.replace('/', '--')}--{weights.file}"
    if offline() or placed(Remote(url, name)).is_file():
        return fetch(Remote(url, name))
    try:
        told = get_hf_file_metadata(url)
    # What carries the library's requests raises errors of its own, others in each version.
    except Exception as error:
        where = placed(Remote(url, name))
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise StoreError(f"{url} cannot be downloaded: {reason}; put the file by hand at {where}") from None
    hash = told.etag if told.etag and re.fullmatch(r"[0-9a-f]{64}", told.etag) else ""
    return fetch(Remote(url, name, hash, told.size))
