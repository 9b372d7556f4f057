"""One image that was explained on the spot, shown: what `evigraph explain` prints and writes.

depicted   as a run of one decision, so that the service's pyramid is drawn of it
tree       in the terminal
data       as JSON
page       as one HTML file
whatif     the decision before, without its evidence, and without the controls: as rows
"""
