"""msgspec's complaints in the words of the field: what is wrong with which value of a request or a file."""


def field_first(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.limits.x`" as "limits.x: expected int, got str"."""
    what, _, where = message.replace("`", "").partition(" - at $")
    where = where.lstrip(".")
    missing = what.removeprefix("Object missing required field ")
    if missing != what:
        return f"{where}.{missing}: required".lstrip(".")
    unknown = what.removeprefix("Object contains unknown field ")
    if unknown != what:
        return f"{where}.{unknown}: unknown".lstrip(".")
    what = what[:1].lower() + what[1:]
    return f"{where}: {what}" if where else what
