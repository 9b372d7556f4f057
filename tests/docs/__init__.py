"""The pages' scripts are run, and print what the pages say."""
