"""Every error that a user, a peer or a disk can cause.

    BertdError
    |- RecipeError         a recipe, or an override of it, is wrong
    |- CorpusError         a source text cannot be read or holds nothing
    |- ShardError          a prepared data set is missing, damaged or does not fit
    |- VocabularyError     a vocabulary cannot be read or does not fit the shards
    |- RunFolderError      a run folder, journal, ledger or mailbox is unusable
    |  `- DamagedLedgerError  the ledger is damaged
    |- CheckpointError     a checkpoint or export is missing, damaged or does not fit
    |  `- NewerCheckpointError  it was written by a later bertd
    |- DeviceError         the devices asked for are not there
    |  `- DeviceMemoryError   a device's memory is too small
    |- NumericsError       the loss is not finite
    |- BackupError         a backup is not complete, or was changed
    |- MissingPackageError an optional package is not installed
    |- OutputExistsError   what was to be written exists already
    |- StorageError        the disk refused a write (full, read-only, no permission)
    |  `- NoRoomError         the write would have filled it, so nothing was written
    |- QueueError          the queue refused a change
    |  |- QuotaError          the user has as many jobs as are allowed, or a quota of the disk is used up
    |  |- BudgetError         the new budget is too little
    |  |- SubmissionError     what was submitted cannot run here
    |  |  `- SilentDiskError     the disk of what it names does not answer
    |  |- UnknownJobError     no such job
    |  `- TransitionError     the job's state does not allow this
    |- DaemonError         the daemon cannot start or serve
    |  |- DaemonStoppingError  it is shutting down and accepts no commands
    |  |- UnreadableQueueError  the queue is damaged, or of a newer bertd
    |  |- ReadOnlyError        it serves what could be read of such a queue, and changes nothing
    |  |- ConfigurationError   its configuration is wrong
    |  |- StillReadingError    it has not read all that the answer needs
    |  |- UnknownHookError     no such hook
    |  |- DeliveryError        an event did not reach a hook
    |  `- DaemonBusyError     another daemon owns the state folder or the socket
    `- ClientError         the daemon could not be reached or refused
       `- DaemonUnreachableError  nobody listens on the socket

Each message has the place, the value and the remedy. Each class has the exit status with which a command ends on it;
the numbers follow sysexits(3).
"""

from __future__ import annotations


class BertdError(Exception):
    """An error that the user can fix; shown as one line, never as a traceback."""

    exit_code: int = 1
    """Exit status of a command that ends with this error."""


class RecipeError(BertdError):
    """A recipe, or an override of it, is wrong."""

    exit_code = 2


class CorpusError(BertdError):
    """A source text cannot be read or holds nothing."""

    exit_code = 65


class ShardError(BertdError):
    """A prepared data set is missing, damaged or does not fit."""

    exit_code = 65


class VocabularyError(BertdError):
    """A vocabulary cannot be read or does not fit the shards."""

    exit_code = 65


class RunFolderError(BertdError):
    """A run folder, journal, ledger or mailbox is unusable."""

    exit_code = 65


class DamagedLedgerError(RunFolderError):
    """The ledger is damaged: it cannot be parsed, or its checksum does not match."""


class CheckpointError(BertdError):
    """A checkpoint or export is missing, damaged or does not fit."""

    exit_code = 65


class NewerCheckpointError(CheckpointError):
    """A later bertd wrote it; do not fall back to an older checkpoint."""


class DeviceError(BertdError):
    """The devices asked for are not there."""

    exit_code = 69


class UnknownDeviceError(DeviceError):
    """No device of this machine has that name."""


class DeviceMemoryError(DeviceError):
    """The memory of a GPU, or the machine's for a run on CPU, is too small."""

    exit_code = 71


class NumericsError(BertdError):
    """The loss or a gradient is not finite."""

    exit_code = 76


class BackupError(BertdError):
    """A backup is not complete, or a file of it was changed."""

    exit_code = 65


class MissingPackageError(BertdError):
    """What was asked for needs an optional package that is not installed."""

    exit_code = 69


class OutputExistsError(BertdError):
    """What was to be written exists already, and is not replaced unasked."""

    exit_code = 73


class StorageError(BertdError):
    """The disk refused a write: full, read-only or not permitted."""

    exit_code = 74


class NoRoomError(StorageError):
    """The write would have filled the disk, so nothing was written."""


class QueueError(BertdError):
    """The queue refused a change."""

    exit_code = 1


class QuotaError(QueueError):
    """The user has as many jobs in the queue as the configuration allows."""

    exit_code = 5


class BudgetError(QueueError):
    """The new budget is less than what is spent and the run's end needs."""

    exit_code = 2


class SubmissionError(QueueError):
    """What was submitted cannot run here."""

    exit_code = 2


class SoftwareChangedError(QueueError):
    """A job would start with other software than it was queued with, and is held for that."""


class SilentDiskError(SubmissionError):
    """The disk of what it names does not answer."""


class UnknownJobError(QueueError):
    """No job has this number or name."""

    exit_code = 4


class TransitionError(QueueError):
    """The job's state does not allow the request."""

    exit_code = 5


class DaemonError(BertdError):
    """The daemon cannot start or serve."""

    exit_code = 78


class DaemonStoppingError(DaemonError):
    """The daemon is shutting down and accepts no commands."""

    exit_code = 69


class ConfigurationError(DaemonError):
    """A file of the daemon's or the dashboard's configuration cannot be read, or has an unknown key or value."""


class UnreadableQueueError(DaemonError):
    """The queue is damaged, or was written by a newer bertd; the file is as it was."""


class ReadOnlyError(DaemonError):
    """The daemon serves what it could read of such a queue, and changes nothing."""

    exit_code = 69


class UnknownHookError(DaemonError):
    """No hook of the daemon's configuration has that name."""

    exit_code = 4


class DeliveryError(DaemonError):
    """One attempt to deliver an event to a hook failed."""

    exit_code = 1

    def __init__(self, message: str, *, may_retry: bool = True) -> None:
        """`may_retry`: the cause may go away by itself."""
        super().__init__(message)
        self.may_retry = may_retry


class StillReadingError(DaemonError):
    """The daemon has not read all of a journal that the answer needs; it continues to read."""


class DaemonBusyError(DaemonError):
    """Another daemon owns the state folder or the socket."""

    exit_code = 75


class ClientError(BertdError):
    """The daemon refused the request, or its answer could not be read."""

    exit_code = 1


class DaemonUnreachableError(ClientError):
    """Nobody listens on the socket."""

    exit_code = 69
