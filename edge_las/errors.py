"""The errors a user can meet; each message is one line that names the thing at fault."""


class EdgeLasError(Exception):
    """Base of every expected failure: commands print its message and exit with code 2."""


class ConfigError(EdgeLasError):
    """A setting, recipe or text that cannot be used as given."""


class ArtifactError(EdgeLasError):
    """A model folder that is incomplete, damaged or of another format."""


class AudioError(EdgeLasError):
    """Audio that cannot be read, or not to its end."""


class DeviceError(EdgeLasError):
    """A missing package, engine, microphone or other part of the machine."""
