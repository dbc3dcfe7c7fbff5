"""From sentence templates to speech: texts, voices and synthesis for training a command set of one's own."""
