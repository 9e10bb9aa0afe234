"""msgspec's complaints in the words of the field."""


def field_first(message: str) -> str:
    """The complaint with its field first: "Expected `int`, got `str` - at `$.x`" becomes "x: expected int, got str"."""
    complaint, _, place = message.replace("`", "").partition(" - at $")
    place = place.lstrip(".")
    for beginning, words in (
        ("Object missing required field ", "required"),
        ("Object contains unknown field ", "unknown"),
    ):
        name = complaint.removeprefix(beginning)
        if name != complaint:
            return f"{place}.{name}: {words}".lstrip(".")
    complaint = complaint[:1].lower() + complaint[1:]
    return f"{place}: {complaint}" if place else complaint
