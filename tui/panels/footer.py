"""The last line: the keys, grey where they would be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.actions.allowed_actions import Action, pause_or_resume, refusal
from tui.actions.keys import KEYS_BY_ID, VIEW_KEYS, label_of
from tui.display_options import DisplayOptions
from tui.drawing.lines import Line, Role, join_lines, justify, line
from tui.snapshot import LinkState, Snapshot

if TYPE_CHECKING:
    from bertd.api.models import JobView


@dataclass(frozen=True)
class KeyHint:
    """A key, a word for it, and what must be allowed for it."""

    key: str
    """The id of its KeyBinding, ids with a slash between them, or a key that cannot be changed."""
    word: str
    action: Action | None = None

    def label(self, options: DisplayOptions) -> str:
        """The key as it is shown."""
        parts = [label_of(part, options.keys) if part in KEYS_BY_ID else part for part in self.key.split("/")]
        return "/".join(parts)


KeyHints = Sequence[KeyHint]
_REPLAY_HINTS = (KeyHint("space", "pause the replay"), KeyHint("< >", "speed"), KeyHint("[ ]", "jump"))


def draw(
    snapshot: Snapshot,
    options: DisplayOptions,
    width: int,
    height: int,
    *,
    job: JobView | None = None,
    extra_keys: KeyHints = (),
) -> list[Line]:
    """The footer; the keys act on `job`; `extra_keys` are this view's in addition to those of the run.

    Help and quit are always there; of the others as many as fit.
    """
    last = [KeyHint("help", "help"), KeyHint("quit", "quit")]
    right = _key_line([(hint, False) for hint in last], options, gap=2)
    if snapshot.link.state is LinkState.LOST:
        return [justify(line((snapshot.link.problem, Role.WAITING)).cut(width - right.width - 2), right, width=width)]
    hints = [(hint, _is_refused(hint, job, snapshot, options)) for hint in _hints(snapshot, options, job, extra_keys)]
    left_width = width - right.width - 2
    for gap in (3, 2, 1):
        left = _key_line(hints, options, gap)
        if left.width <= left_width:
            return [justify(left, right, width=width)]
    while hints and _key_line(hints, options, 1).width > left_width:
        hints.pop()
    return [justify(_key_line(hints, options, 1), right, width=width)]


def _hints(snapshot: Snapshot, options: DisplayOptions, job: JobView | None, extra_keys: KeyHints) -> list[KeyHint]:
    action = pause_or_resume(job)
    acting = [
        KeyHint("pause-or-resume", action, action),
        KeyHint("checkpoint", "checkpoint", Action.CHECKPOINT),
        KeyHint("finetune", "finetune", Action.FINETUNE),
        KeyHint("stop", "stop", Action.STOP),
        KeyHint("budget", "budget", Action.BUDGET),
        *(hint for hint in extra_keys if hint.action is not None),
    ]
    has_others = snapshot.status is not None and len(snapshot.status.runs) > 1
    looking = [
        *(hint for hint in extra_keys if hint.action is None),
        *([KeyHint("next-run", "next run")] if has_others else []),
        KeyHint(_view_keys(options), "views"),
    ]
    if snapshot.link.state is LinkState.REPLAY:
        return [*_REPLAY_HINTS, *acting, *looking]
    return [KeyHint("", "read-only"), *looking] if options.is_readonly else [*acting, *looking]


def _view_keys(options: DisplayOptions) -> str:
    """`1-8`: the keys of the views; each where one was changed."""
    views = [key for key in VIEW_KEYS if key.action.startswith("show_view")]
    if any(view.id in options.keys for view in views):
        return " ".join(view.label_in(options.keys) for view in views)
    return f"1-{max(key for view in VIEW_KEYS for key in view.keys.split(',') if key.isdecimal())}"


def _is_refused(hint: KeyHint, job: JobView | None, snapshot: Snapshot, options: DisplayOptions) -> bool:
    return hint.action is not None and bool(refusal(hint.action, job, snapshot, options))


def _key_line(hints: Sequence[tuple[KeyHint, bool]], options: DisplayOptions, gap: int) -> Line:
    drawn = [_key_text(hint, options, is_refused=is_refused) for hint, is_refused in hints]
    return join_lines(drawn, separator=" " * gap)


def _key_text(hint: KeyHint, options: DisplayOptions, *, is_refused: bool) -> Line:
    if not hint.key:
        return line((hint.word, Role.WAITING))
    key_role, word_role = (Role.FAINT, Role.FAINT) if is_refused else (Role.KEY, Role.MUTED)
    return line((hint.label(options), key_role), (f" {hint.word}", word_role))
