"""What a training with the penalty can run into."""


class NotFinite(ValueError):
    """The loss is no number any more."""
