"""What became of a session that was taken along on a push of something else."""

from __future__ import annotations

from sentinel.store.base import Committed, Conflicted, Rode
from sentinel.store.git_answers import Answer, Pushed
from sentinel.store.mirror import SESSION_REFS, Update


def rode(answer: Answer, update: Update) -> Committed | Conflicted | Rode:
    """The outcome for the rider, by git's answer for its ref."""
    match answer.pushed:
        case Pushed.LANDED:
            return Committed(str(update.commit))
        case Pushed.MOVED:
            return Conflicted((update.ref.removeprefix(SESSION_REFS),))
        case Pushed.FAILED | Pushed.REFUSED:
            return Rode.NOT
        case _:
            return Rode.UNKNOWN
