"""What can go wrong. Each message names what was expected, what was found, and what to do."""


class MdetrError(Exception):
    """Any error of this package."""


class BundleError(MdetrError):
    """A model is not found, or its files are not sound."""


class CacheError(MdetrError):
    """A directory for encodings or plans cannot be used."""


class EngineError(MdetrError):
    """An engine is not available, or fails."""


class FrameError(MdetrError, ValueError):
    """What was given as a frame is none, or takes too much memory."""


class OptionError(MdetrError, ValueError):
    """An option has a value that it cannot have."""


class QueryError(MdetrError, ValueError):
    """A query cannot be used."""
