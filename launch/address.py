"""Addresses of this machine: URLs, free ports, and a check that nobody listens there yet."""

import socket
from dataclasses import dataclass

from launch.errors import LaunchError


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_if_taken(address: Address, *, change_with: str) -> None:
    """Raise LaunchError if the address cannot be bound. `change_with` is the option or variable that changes it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise LaunchError(
                f"cannot listen on {address.host}:{address.port}: {error.strerror or error}; "
                f"choose another with {change_with}"
            ) from error
