"""What a figure's axes show: lines and texts."""


def lines(axes):
    """{label: points (N, 2)}."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def words(*several):
    return [text.get_text() for axes in several for text in axes.texts]
