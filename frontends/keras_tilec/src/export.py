"""Export archives, which tilec does not write."""

from __future__ import annotations

from typing import NoReturn


class SavedModelExportArchive:
    """Says that there is no such export."""

    def track(self, resource: object) -> NoReturn:
        """Nothing can be tracked."""
        raise NotImplementedError("The tilec backend writes no SavedModel; use model.save")

    def add_endpoint(self, name: str, fn: object, input_signature: object = None) -> NoReturn:
        """Nothing can be added."""
        raise NotImplementedError("The tilec backend writes no SavedModel; use model.save")
