"""Search over the Speller: algorithms that know neither torch, nor an engine, nor a file."""
