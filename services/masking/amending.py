"""A reviewer's patch on arguments of which they saw the masked view alone. Pure.

It is done only where both have the same place: an item that masking left out of an array, or a key that it masked,
makes the view's index or name mean something else in the arguments, which nobody chose and nobody would see change.
"""

from callgate.json_patch import BadPatch, Patch, apply_patch, below
from contracts.model import JsonValue


def amend(document: JsonValue, view: JsonValue, patch: Patch) -> JsonValue:
    """The document after the patch. BadPatch(`patch_does_not_apply`), also for a place that is not the same in the view
    for which the patch was written."""
    for number, operation in enumerate(patch):
        if not _same_place(document, view, operation.path):
            raise BadPatch("patch_does_not_apply", "what stands there is not what the view shows", number)
        document, view = apply_patch(document, (operation,)), apply_patch(view, (operation,))
    return document


def _same_place(document: JsonValue, view: JsonValue, path: tuple[str, ...]) -> bool:
    for step in path:
        if isinstance(document, dict) and isinstance(view, dict):
            if (step in document) != (step in view):
                return False
        elif not isinstance(document, list) or not isinstance(view, list) or len(document) != len(view):
            return False
        try:
            document, view = below(document, step), below(view, step)
        except LookupError:
            return True  # there is nothing in either, which is for the patch to say
    return True
