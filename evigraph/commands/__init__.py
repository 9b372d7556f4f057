"""The commands: `evigraph X` is the module X.

    demo                         everything, on scenes of its own
    layers                       a network -> the maps that may be layers
    explain                      one image and a network, or a run -> its evidence, with and without some of it
    index                        images and a network -> a run folder
    extend                       what a finished run folder lacks
    publish, runs                run folders -> a database; its runs listed and deleted
    migrate, rollback, check     a database's revision, the version before, its invariants
    serve, query, export         a database -> answers: by HTTP, one in process, files
    schema                       the GraphQL schema

Each imports what it needs when it runs, so that help is quick and loads no torch.
"""
