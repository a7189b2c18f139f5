"""Rewriting of terms: substitution, beta normal form, expansion of library functions.

Every function keeps the type of the term, works on the shared graph and does not recurse.
"""

from collections.abc import Callable, Mapping

from neurosym.primitive import Primitive
from neurosym.term import Apply, Bound, Lambda, Leaf, Term, Variable, subterms
from overparam.errors import InputError

STEPS = 1_000_000
"""Contractions after which a normal form is given up; typed terms have one, but it may be vast."""


def rewrite(term: Term, leaf: Callable[[Term, int], Term | None]) -> Term:
    """Replace what ``leaf`` wants replaced, and rebuild what is above.

    Args:
        term: Where to look.
        leaf: Called with a subterm and the number of abstractions it lies under, parents first;
            returns its replacement, or None to look inside it.
    """
    done: dict[tuple[Term, int], Term] = {}
    stack: list[tuple[Term, int, bool]] = [(term, 0, False)]
    while stack:
        here, depth, ready = stack.pop()
        key = (here, depth)
        if not ready:
            if key in done:
                continue
            replaced = leaf(here, depth)
            if replaced is not None or not here.children:
                done[key] = here if replaced is None else replaced
                continue
            stack.append((here, depth, True))
            inner = depth + isinstance(here, Lambda)
            stack.extend([(child, inner, False) for child in here.children])
        elif isinstance(here, Lambda):
            body = done[here.body, depth + 1]
            done[key] = here if body is here.body else Lambda(here.argument, body)
        else:
            head, *arguments = [done[child, depth] for child in here.children]
            done[key] = Apply(head, arguments)
    return done[term, 0]


def shift(term: Term, by: int) -> Term:
    """``term`` as it reads under ``by`` more abstractions (fewer, if negative)."""

    def leaf(here: Term, depth: int) -> Term | None:
        if len(here.scope) <= depth:
            return here
        return Bound(here.index + by, here.type) if isinstance(here, Bound) else None

    return term if by == 0 or term.is_closed else rewrite(term, leaf)


def contract(body: Term, argument: Term) -> Term:
    """``((lam body) argument)`` after one step of beta reduction."""

    def leaf(here: Term, depth: int) -> Term | None:
        if len(here.scope) <= depth:
            return here
        if not isinstance(here, Bound):
            return None
        if here.index == depth:
            return shift(argument, depth)
        return Bound(here.index - 1, here.type)

    return rewrite(body, leaf)


def substitute(term: Term, values: Mapping[int, Term]) -> Term:
    """``term`` with inputs replaced: ``values[i]``, a closed term, for ``x{i}``, all at once.

    Raises:
        InputError: If a value has free de Bruijn variables or another type than its input.
    """

    def leaf(here: Term, depth: int) -> Term | None:
        if not isinstance(here, Variable) or here.index not in values:
            return None
        value = values[here.index]
        if not value.is_closed or value.type != here.type:
            raise InputError(f"{here} of type {here.type} cannot become {value}: {value.type}")
        return value

    return rewrite(term, leaf)


def normal_form(term: Term, *, steps: int = STEPS) -> Term:
    """The beta normal form: no abstraction is applied any more.

    Raises:
        InputError: If it takes more than ``steps`` contractions.
    """
    normal: dict[Term, Term] = {}
    stack: list[tuple[Term, Term, bool]] = [(term, term, False)]
    while stack:
        here, origin, ready = stack.pop()
        # a result of contraction is normalised on behalf of the term it came from, ``origin``
        if not ready:
            if here in normal:
                normal[origin] = normal[here]
                continue
            if not here.children:
                normal[here] = normal[origin] = here
                continue
            stack.append((here, origin, True))
            stack.extend([(child, child, False) for child in here.children])
            continue
        if isinstance(here, Lambda):
            result: Term = Lambda(here.argument, normal[here.body])
        else:
            head, *arguments = [normal[child] for child in here.children]
            if isinstance(head, Lambda):
                steps -= 1
                if steps < 0:
                    raise InputError("the normal form takes too many contractions")
                reduced = contract(head.body, arguments[0])
                if arguments[1:]:
                    reduced = Apply(reduced, arguments[1:])
                for known in (here, origin):
                    stack.append((reduced, known, False))
                continue
            result = Apply(head, arguments)
        normal[here] = normal[origin] = result
        normal.setdefault(result, result)
    return normal[term]


def expand(term: Term, where: Callable[[Primitive], bool] = lambda used: True) -> Term:
    """``term`` with library functions replaced by what they stand for, in normal form.

    Args:
        term: Where to look.
        where: Which library functions; all, if left out.
    """

    def leaf(here: Term, depth: int) -> Term | None:
        if isinstance(here, Leaf) and here.primitive.definition is not None:
            return bodies.get(here.primitive, here)
        return here if not here.children else None

    bodies: dict[Primitive | None, Term] = {}
    # a definition uses only older ones, so the stack of unfinished ones ends
    todo: list[tuple[Primitive | None, Term]] = [(None, term)]
    while todo:
        name, here = todo[-1]
        needed = [
            (used, used.definition)
            for used in primitives(here)
            if used.definition is not None and used not in bodies and where(used)
        ]
        if needed:
            todo.extend(needed)
        else:
            todo.pop()
            bodies[name] = normal_form(rewrite(here, leaf))
    return bodies[None]


def primitives(term: Term) -> list[Primitive]:
    """The distinct primitives of a term, in order of first occurrence from the leaves up."""
    return [here.primitive for here in subterms(term) if isinstance(here, Leaf)]


def variables(term: Term) -> dict[int, Variable]:
    """The inputs a term reads, by index."""
    found = [here for here in subterms(term) if isinstance(here, Variable)]
    return {here.index: here for here in sorted(found, key=lambda here: here.index)}
