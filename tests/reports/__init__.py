"""What people reported of programs that explain or read images with CNNs, each with its right answer here.

One module a kind; a case is a test marked with where it was reported and what is right:

    @report("pytorch/vision#714", "folder 400 is class 400")
    def test_folders_named_by_index(...) -> None: ...

`python -m tests.reports.table` writes the table of them all (README.md); a test holds the two together.
"""
