"""One GraphQL request from text to answer: `execution` is the way in, and `query` the one without a server.

`schema` puts the types together, `guards` refuses queries that are too large, `executor` carries them out, `encoding`
makes JSON of the answer.
"""
