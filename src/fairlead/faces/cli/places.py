"""Where a platform keeps its things: the data directory and the paths in it.

Only names paths and reads small records; never starts, stops or writes anything but the directory itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.faces.cli.problems import Problem


def default_data_dir() -> Path:
    """Return $FAIRLEAD_DATA_DIR, /var/lib/fairlead for root, or the user's XDG data directory."""
    if named := os.environ.get("FAIRLEAD_DATA_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/fairlead")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "fairlead"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one data directory."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's credentials."""
        return self.root / "kubeconfig"

    @property
    def run(self) -> Path:
        """Records of what runs now."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.root / "logs"

    def record(self, name: str) -> dict[str, Any]:
        """Return a process's record (`control-plane`, `node`, `supervisor`), {} when it has none that can be read."""
        try:
            found = json.loads((self.run / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def prepare(self) -> None:
        """Make the directories, private to their owner. Raises Problem where that is not allowed."""
        try:
            for path in (self.root, self.run, self.logs):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.root, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")  # noqa: TRY301  one text for both ways to find out
        except PermissionError as error:
            raise Problem(
                f"no permission to write to the data directory {self.root}",
                "choose another with --data-dir, or run as the user who owns it",
            ) from error
        except (FileExistsError, NotADirectoryError) as error:
            raise Problem(
                f"the data directory {self.root} is not a directory", "choose another with --data-dir"
            ) from error
        except OSError as error:
            raise Problem(f"cannot make the data directory {self.root}: {error.strerror}") from error
