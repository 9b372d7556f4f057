"""A database in Python: `evigraph.open("evidence.duckdb")`, for notebooks and scripts. No server and no torch.

    words       what arguments may be
    database    the file: GraphQL, runs, pictures, and the version that answers
    lists       any list of the schema as a table, all its pages, of one version
    run         a run: edges, graphs, drawings; its lists by name are in run_lists and run_failures
    channel     a channel: its lists by name
    answers     a table, as Arrow, pandas and HTML
    graphs      evidence for networkx
    shown       HTML for notebooks

A list is asked as GraphQL of the public schema and run in process by the service's own code: the numbers are the
service's, and `Answer.query` can be pasted into GraphiQL.
"""

from evigraph.reading.answers import Answer
from evigraph.reading.channel import Channel
from evigraph.reading.database import Database, Runs
from evigraph.reading.run import Run
from evigraph.reading.shown import Picture
from evigraph.reading.words import Cohort

__all__ = ["Answer", "Channel", "Cohort", "Database", "Picture", "Run", "Runs"]
