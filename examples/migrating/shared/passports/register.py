"""The register of lost passports: somebody else's HTTP service, which is often busy."""

import json
import os
from urllib.error import HTTPError
from urllib.request import urlopen


class RegisterBusy(Exception):
    """The register asks to come back later."""


def is_lost(number: str) -> bool:
    """Ask whether a passport was reported lost.

    Raises:
        RegisterBusy: the register is overloaded; ask again later.
    """
    try:
        with urlopen(f"{os.environ['REGISTER_URL']}/{number}", timeout=10) as answer:
            return bool(json.load(answer)["lost"])
    except HTTPError as error:
        if error.code != 503:
            raise
        raise RegisterBusy(number) from error
