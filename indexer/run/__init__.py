"""`evigraph index`: the other rooms put together.

settings    what was asked for, and what of it determines rows
pipeline    the whole run: load, list, describe, then shard by shard
inputs      what the network is given: channels, preprocessing or its own transform
transform   the latter: a function of the user's
attack      changes the images first, if asked to
batch       one batch: recorded, decomposed, measured; halved where memory does not suffice
rows        the columns of batches -> the tables of a shard
memory      how many images fit
report      what a finished run holds
"""
