"""Foreign code that policies bring (WebAssembly, JavaScript), run in worker processes that have nothing to lose.

`Guests.run(plan, call)` runs one call of a guest; `call` answers what the guest asks of its host. A worker is a process of its
own: nobody's identity when this is root, no new privileges, no network, no files, no more processes; memory and time are
limited, and a worker that does not end in time is killed and another started. A hostile guest fails alone, with a GuestFailed.
Knows no policy: which guest is asked what, and what its answer means, is said above.
"""

from __future__ import annotations

from .plans import GuestFailed, GuestPlan, GuestResult, HostCall, HostError
from .pool import Guests
from .sections import custom_section

__all__ = ["GuestFailed", "GuestPlan", "GuestResult", "Guests", "HostCall", "HostError", "custom_section"]
