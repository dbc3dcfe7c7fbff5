"""edge-las: a Listen-Attend-and-Spell speech recognizer for Raspberry Pi and Jetson."""

__version__ = "0.1.0"
