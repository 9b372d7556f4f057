"""The run folder: Parquet files that survive a kill. No torch here; whoever writes or reads a run goes through it.

description     what determines a run's rows (run.json), and its digest
durable         a file is wholly there or not at all
edges           edges and decompositions: their schemas, their agreement, their stored form
files           the Parquet files of one shard
folder          the folder: which shards are there, the lock, the manifest
guided_files    pictures made once every shard is there
"""
