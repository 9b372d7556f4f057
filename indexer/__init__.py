"""From images to a database: every decision of a network decomposed into evidence, offline.

What happens to an image:

    data       is listed with its labels, decoded, and made the network's input
    model      the network was read as operations; some of its maps were chosen as layers S1..SL
    engine     the input runs through the network once, recorded so that gradients can be pulled back
    evidence   its decisions are split over the channels of the layer below, and those again, down to S1
    verify     (if asked for) the network decides again without the evidence
    pictures   (if asked for) what it saw, and where channels looked, is kept
    run        `evigraph index` puts the above together, batch by batch, and makes rows of it
    shards     the rows are written to the run folder, which survives a kill
    publish    run folders become the next version of the database
    demo       a set of images and a small network of our own

Who may import whom:

    run -> all but publish and demo          engine -> model, evidence     publish -> shards
    verify, pictures -> engine, model,       model -> data                 demo -> data
        evidence, data, shards               data, evidence, shards -> no other room

Only this package loads torch, and within it neither shards nor publish does. `tests/test_architecture.py` holds these
directions; docs/architecture.md has the whole picture.
"""
