"""From images to a database: every decision of a network decomposed into evidence, offline.

What happens to an image, and which room does it:

    data       lists it with its labels, decodes it and makes it the network's input
    weights    has loaded the network with its weights, and knows the input that they want
    model      has read it: its operations, and the maps that are its layers S1..SL
    engine     runs the network on it once, recorded so that gradients can be pulled back
    evidence   splits its decisions over the channels of the layer below, and those again, down to S1
    verify     lets the network decide again without the evidence, if asked to
    pictures   keeps what the network saw and where channels looked, if asked to
    run        is `evigraph index`: batch by batch it puts the above together and makes rows of the result
    shards     writes the rows to the run folder, which survives a kill
    publish    makes run folders the next version of the database
    demo       draws images and has a small network for those who have none

Who may import whom:

    run -> all but publish and demo          engine -> model, evidence     publish -> shards
    verify, pictures -> engine, model,       weights -> model, data        demo -> data
        evidence, data, shards               data, evidence, shards, model -> no other room

Only this package loads torch, and within it neither shards nor publish does. `tests/test_architecture.py` holds these
directions; docs/architecture.md has the whole picture.
"""
