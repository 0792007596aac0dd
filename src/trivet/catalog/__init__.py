"""What exists and what is wished for, durably: SQLite on one machine, PostgreSQL for several.

It stores values and keeps them consistent; what may be done to them is `control`'s.
"""

from trivet.catalog.catalog import Catalog
from trivet.catalog.transaction import Transaction

__all__ = ["Catalog", "Transaction"]
