"""What an evidence database is: its tables, the rules that hold in it, and how it is opened.

    tables/      the models; rollups are declared there, each once
    rollups/     filling the rollups of a run, and making stale ones anew
    checks/      the invariants, and the comparison of each rollup with its declaration
    database     opening a published file: pointer, revision, stale rollups
    views        the views `edge` and `root`
    encoding     how numbers are stored in `decomposition`
    parts        a run's edges, some classes at a time
    ids          decision_id, image_id and role, in Python and in SQL
    sql          values and names as SQL
    pictures     the settings of thumbnails, maps and crops
    errors       the error tree

Everything else imports this package; it imports nothing of ours. Alembic's revisions are in `migrations`.
"""
