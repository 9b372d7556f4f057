"""A GraphQL request in process, from its text to an answer of JSON's types.

    execution   Service: a live database, the schema, the threads for SQL; Service.answer
    schema      the schema under the limits of one service, and its SDL
    guards      what a query may be before it runs: depth, fields, one operation
    executor    the short way for plain fields of large answers
    query       execute: one query of a file, without a server
    encoding    JSON

HTTP and `evigraph query` both come in here.
"""
