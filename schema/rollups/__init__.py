"""Rollups in a database. What they are is declared in `schema.tables.rollups`; open here

filling      for how the rows of a run get in, part by part in bounded memory
keeping      for when a rollup is made anew: where the digest of its declaration has changed
"""
