"""What pages need and other people made: files of the same shape, written where the page is run."""
