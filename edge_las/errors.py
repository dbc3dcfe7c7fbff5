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


def one_line(error: BaseException | str) -> str:
    """Write a message that may quote a file's content on one printable line of at most 400 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 400 else f"{text[:200]} ... {text[-195:]}"


def system_reason(error: OSError) -> str:
    """Tell why the system refused, to go into a message."""
    return (error.strerror or str(error)).lower()
