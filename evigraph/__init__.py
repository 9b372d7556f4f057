"""The command line: the one place where the indexer and the service meet."""
