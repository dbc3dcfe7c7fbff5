"""edge-las beside other recognizers: the same files, one thread, one process for each system."""
