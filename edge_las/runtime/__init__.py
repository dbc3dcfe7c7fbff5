"""The recognizer that runs on the device: numpy and one inference engine."""
