"""HTTP: what a request asks, and how its answer is sent.

    app        the application and its routes: start here
    view       GraphQL over HTTP: bodies, media types, statuses
    graphiql   the query editor, from files in static/
    media      pictures, at the addresses that GraphQL gives
    exports    edges and graphs as files

No other room imports starlette.
"""
