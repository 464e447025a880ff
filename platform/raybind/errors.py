"""The errors a user meets. Each message says what happened, the offending value and the remedy."""


class RayBindError(Exception):
    """Base of all errors raised by this package on purpose."""


class ConfigError(RayBindError):
    """The configuration, or the surroundings it names, cannot work; jobs exit with code 2."""


class DataError(RayBindError):
    """A stored sample, shard or manifest is not what its format promises.

    `cause` is the short name it is counted under.
    """

    def __init__(self, message: str, cause: str = "damaged sample") -> None:
        super().__init__(message)
        self.cause = cause


class TooManyBadSamples(DataError):
    """The rate of unreadable samples passed the configured limit."""


class RankFailed(RayBindError):
    """One rank alone cannot go on, and a restart would only repeat it; the others do not know."""
