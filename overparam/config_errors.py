"""What is wrong with a configuration, in one line instead of twenty."""

import inspect
import re
from collections.abc import Sequence

from overparam.cli import did_you_mean
from overparam.recipe import locate

_KEY = re.compile(r'^(?:- )?Parser key "([^"]+)":?\s*')
_CLASS = re.compile(r"^(?:- )?Problem with given class_path '([^']+)':?\s*")
_OPTION = re.compile(r"Option '([^']+)' is not accepted")
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)|does not accept option '([^']+)'")
_MISSING = re.compile(r"arguments are required: (.+)")
_STRING = 'in "<unicode string>", '
_SKIP = re.compile(
    r"^(Does not validate against|Subtypes:|Errors:|Given value|- Expected a <class 'NoneType'>)"
)


def shorten(message: str, known: Sequence[str] = ()) -> str:
    """Return where the mistake is and what it is, from jsonargparse's nested account of it.

    Args:
        message: What jsonargparse says.
        known: Options that exist, to suggest one for an unknown one.
    """
    if unknown := _UNKNOWN.search(message):
        wrong = (unknown[1] or unknown[2]).split("=")[0]
        near = did_you_mean(wrong, [*known, *(f"--{name}" for name in known)])
        return f"no setting {wrong.removeprefix('--')!r}{near}"
    if missing := _MISSING.search(message):
        names = " and ".join(sorted(name.split(".", 1)[-1] for name in missing[1].split(", ")))
        return f"{names} not set: start from --config NAME_OR_PATH"
    keys: list[str] = []
    owner = ""
    leaves: list[str] = []
    for line in (raw.strip() for raw in str(message).splitlines()):
        if match := _KEY.match(line):
            keys.append(match[1])
            line = line[match.end() :]
        elif match := _CLASS.match(line):
            owner = match[1]
            line = line[match.end() :]
        if line and not _SKIP.match(line):
            leaves.append(line.removeprefix("- "))
    what = _reword("; ".join(dict.fromkeys(leaves)), owner) or "is not accepted"
    where = ".".join(keys)
    value = re.search(r"^\s*Given value: (.+)$", str(message), re.MULTILINE)
    # A constructor refuses with a sentence of its own; its whole configuration adds nothing.
    plain = value is not None and not value[1].startswith("Namespace(")
    if value and plain and "got" not in what.lower() and not owner:
        what = f"{what}, got {value[1]}"
    return f"{where}: {what}" if where else what


def _reword(what: str, owner: str) -> str:
    what = re.sub(r"<class '([^']+)'>", r"\1", what)
    what = what.replace("Expected a ", "expected ")
    what = re.sub(r"\. Got value: ", ", got ", what)
    if option := _OPTION.search(what):
        wrong = option[1]
        return f"{owner or 'it'} takes no argument {wrong!r}{_suggest(wrong, owner)}"
    if what.startswith("No module named") or "has no attribute" in what:
        return f"class_path {owner!r} cannot be imported ({what})"
    if "Unexpected config" in what:
        return "it is empty or holds no settings"
    return what.replace("Problems parsing config: ", "not valid yaml: ").replace(_STRING, "")[:300]


def _suggest(wrong: str, owner: str) -> str:
    try:
        return did_you_mean(wrong, list(inspect.signature(locate(owner)).parameters))
    except (ValueError, TypeError):
        return ""
