"""The folder of a run: its records, and what they say."""

from hpc.results.store.attempt import REASONS, Attempt
from hpc.results.store.bill import Bill
from hpc.results.store.disk import DISK_ERRORS, format_disk_error, format_free_space, name_in, naming, run_of
from hpc.results.store.epochs import Epochs
from hpc.results.store.failure import Failure, error_pattern, failures, format_failures
from hpc.results.store.files import replacing, write_text
from hpc.results.store.folder import Plan, RunError, claim, create
from hpc.results.store.reading import EPOCH, parse
from hpc.results.store.records import Records, encodable
from hpc.results.store.run import Run
from hpc.results.store.schema import KINDS
from hpc.results.store.seal import copies_in, is_kept, seal_in, seal_of, sealed, text_in
from hpc.results.store.trial import STATES, TrialState

__all__ = [
    "DISK_ERRORS",
    "EPOCH",
    "KINDS",
    "REASONS",
    "STATES",
    "Attempt",
    "Bill",
    "Epochs",
    "Failure",
    "Plan",
    "Records",
    "Run",
    "RunError",
    "TrialState",
    "claim",
    "copies_in",
    "create",
    "encodable",
    "error_pattern",
    "failures",
    "format_disk_error",
    "format_failures",
    "format_free_space",
    "is_kept",
    "name_in",
    "naming",
    "parse",
    "replacing",
    "run_of",
    "seal_in",
    "seal_of",
    "sealed",
    "text_in",
    "write_text",
]
