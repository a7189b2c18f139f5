"""A walk over a grid of glyphs: from what lies around the walker to its next action."""

from collections.abc import Sequence

from neurosym.composite import Grid
from neurosym.control import If
from neurosym.domain import Input
from neurosym.finite import Bool, Symbol
from neurosym.language import Language
from neurosym.languages.comparison import connectives
from neurosym.primitive import Primitive
from neurosym.structure import Pack, Part
from overparam.errors import InputError

ACTIONS = ("forward", "left", "right", "back")
_AROUND = {"ahead": (-1, 0), "left_of": (0, -1), "right_of": (0, 1), "behind": (1, 0)}


def walk(
    side: int = 5,
    *,
    glyphs: Sequence[str] = ("free", "wall", "goal"),
    as_grid: bool = True,
) -> Language:
    """Programs such as ``(if (eq (ahead x0) wall) left forward)``: turn at a wall.

    The walker stands in the middle of the grid and looks up. Primitives: ``ahead``, ``left_of``,
    ``right_of``, ``behind`` (the glyph next to it), ``eq``, ``and``, ``or``, ``not``, ``if`` on
    actions, and ``turn``, which is an action as seen after a quarter turn to the left. Glyphs and
    actions are constants.

    Args:
        side: Cells along a side; odd, at least 3.
        glyphs: What a cell may hold.
        as_grid: Whether the input is the grid, ``x0``; else its cells, row by row, are the inputs
            ``x0``..., and ``(cells x0 ...)`` is the grid.

    Raises:
        InputError: If ``side`` is even or below 3.
    """
    if side < 3 or side % 2 == 0:
        raise InputError(f"side must be odd and at least 3, got {side}")
    glyph, action = Symbol("glyph", tuple(glyphs)), Symbol("action", ACTIONS)
    grid, middle = Grid(glyph, side, side), side // 2
    looks = [
        Part(name, grid, (middle + down, middle + right)) for name, (down, right) in _AROUND.items()
    ]
    turned = dict(zip(ACTIONS, ("left", "back", "forward", "right"), strict=True))
    primitives = [
        *looks,
        Primitive("eq", (glyph, glyph), Bool(), lambda a, b: a == b, python="{0} == {1}"),
        *connectives(Bool()),
        If(action),
        Primitive("turn", (action,), action, turned.__getitem__),
    ]
    if not as_grid:
        primitives.append(Pack("cells", grid, cost=0.0))
    return Language(
        primitives,
        inputs=[Input(grid)] if as_grid else [Input(glyph)] * side**2,
        constants={glyph: glyph.labels, action: action.labels},
        output=action,
        name="walk",
    )
