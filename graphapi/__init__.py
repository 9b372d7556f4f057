"""The service: GraphQL, pictures and exports from one database file.

    http       requests and responses: /graphql and its page, /media, /export
    service    one GraphQL request from text to answer: the schema, its limits, its execution
    types      GraphQL's types, made of rows, and the dataloaders
    files      what is handed out as a file: edges, graphs, drawn pictures, and their addresses
    questions  SQL and plain Python: what is asked of the database, and what is made of its rows
    store      the file that is served: opening and replacing it, names, sessions, SQL, pages

Each room imports those below it alone. A subject has the same name in every room: docs/context.md,
questions/context.py, types/context.py, tests/graphapi/test_context.py.

Begin with `questions.support` and `types.channel`: a statement, the class of its rows, and the fields that show them.
`service.execution` is the way in, for HTTP and in process alike.
"""
