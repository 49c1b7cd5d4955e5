"""What the agent of this example may call."""


def shipping_cost(country: str, grams: int = 500) -> dict[str, int]:
    """What it costs to send a parcel again.

    Args:
        country: two letters, such as DE
        grams: the weight of the parcel
    """
    return {"cents": (490 if country == "DE" else 1290) + max(0, grams - 500) // 10}
