"""Nets on folders of any number of photos: shards of answers, in this process or on a Dask cluster."""
