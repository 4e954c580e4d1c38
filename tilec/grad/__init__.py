"""Derivatives: rules by operation, reverse and forward mode over the tensor IR.

The function ``tilec.grad`` has the name of this package. Whoever imports that function imports the
package before, so that the name means the function from then on.
"""

from typing import Final

TIES: Final = ("all", "share")
"""What equal extremes of ``>`` and ``<`` receive; see ``contractions.Ties``."""
