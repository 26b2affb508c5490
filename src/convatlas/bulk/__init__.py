"""Run nets on any number of photos, shard by shard, in this process or on a Dask cluster."""
