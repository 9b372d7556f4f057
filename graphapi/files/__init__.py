"""What is handed out as a file: `edges` as Parquet, CSV or Arrow, `graph` as GraphML, JSON or DOT, pictures.

`addresses` says under which path a picture is, `drawing` makes it.
"""
