"""Download from the Hugging Face hub: its library gives address and hash, our store fetches and verifies the file."""

from __future__ import annotations

import re
from pathlib import Path

from convatlas.base.errors import StoreError
from convatlas.base.store.fetch import fetch
from convatlas.base.store.remote import Remote, offline, path_of
from convatlas.catalogue.lineages import Weights


def download(weights: Weights) -> Path:
    """Return the path of the downloaded file; the address is a repository ("timm/resnet50.a1_in1k") or a plain URL.

    For a large file the hub states the sha256 before the download.

    Raises:
        StoreError: The hub cannot be reached, or does not have the file.
    """
    if "://" in weights.address:
        return fetch(Remote(weights.address, weights.file, weights.hash))
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(weights.address, weights.file)
    name = f"{weights.address.replace('/', '--')}--{weights.file}"
    if offline() or path_of(Remote(url, name)).is_file():
        return fetch(Remote(url, name))
    try:
        metadata = get_hf_file_metadata(url)
    # The library's HTTP client raises errors of its own, which differ from version to version.
    except Exception as error:
        path = path_of(Remote(url, name))
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise StoreError(f"{url} cannot be downloaded: {reason}; or save the file as {path} yourself") from None
    hash = metadata.etag if metadata.etag and re.fullmatch(r"[0-9a-f]{64}", metadata.etag) else ""
    return fetch(Remote(url, name, hash, metadata.size))
