"""One image on the spot: what `index` would store of it, for any class, and the decision without some of its evidence.

settings   what `evigraph explain` is asked
subject    the network and the image: of a file, or of a run folder
edits      what is taken away, and its control
outcome    one decision, as tables of the rows that a run has
compare    whether it is what the run stores
explain    all of it
"""
