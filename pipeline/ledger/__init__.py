"""The tamper-evident log of everything read: a C2SP tlog-tiles log of commitments, its proofs and its verifier."""

from pipeline.ledger.errors import ForkError, LedgerError
from pipeline.ledger.guard import FileGuard
from pipeline.ledger.leaf import binary_column
from pipeline.ledger.log import LeafBatch, Ledger

__all__ = ["FileGuard", "ForkError", "LeafBatch", "Ledger", "LedgerError", "binary_column"]
