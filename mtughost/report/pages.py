"""What every HTML page shares: templates as text, inert values, a policy that forbids the rest.

The templates are data of the content root (``templates/report/*.j2``) and are passed in as text.
Device text reaches a page only through :func:`_finalize`, for every expression of every template.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import DictLoader, StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from markupsafe import Markup

from mtughost.model.errors import ContentError
from mtughost.report.safe_text import inert


def render_page(
    page: str,
    *,
    css: str,
    templates: Mapping[str, str],
    names: Iterable[str],
    script: str = "",
    **values: object,
) -> str:
    """Render one page with its own style sheet inside.

    Args:
        page: Name of the page's template; it prints ``css`` and ``csp``.
        css: Name of the style sheet's template.
        templates: Text of each file, by name.
        names: Files that must be there.
        script: Name of the page's script, which prints ``script``; most pages have none.
        **values: What the page shows.

    Raises:
        ContentError: a template is missing or wrong; names the file and line.
    """
    environment = _environment(templates, names)
    try:
        style = environment.get_template(css).render()
        # As it stands: a script is never a template, so no value can ever be written into one.
        code = templates[script] if script else ""
        return environment.get_template(page).render(
            **values,
            css=Markup(style),  # noqa: S704 - the style sheet is a template of ours without input
            script=Markup(code),  # noqa: S704 - a file of ours without input
            csp=_policy(style, code),
        )
    except TemplateError as error:
        raise ContentError(
            f"cannot be rendered: {inert(str(error))}",
            path=f"templates/report/{getattr(error, 'name', None) or page}",
            line=getattr(error, "lineno", None),
        ) from error


def _environment(templates: Mapping[str, str], names: Iterable[str]) -> SandboxedEnvironment:
    for name in names:
        if name not in templates:
            raise ContentError("is missing", path=f"templates/report/{name}")
    return SandboxedEnvironment(
        loader=DictLoader(dict(templates)),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Make every printed value inert before Jinja escapes it; ``Markup`` is already ours."""
    if isinstance(value, Markup):
        return value
    return inert(str(value), lines=True)


def _policy(css: str, script: str) -> str:
    """Return the Content-Security-Policy: this very style sheet, this very script, nothing else."""
    rules = ["default-src 'none'", f"style-src '{_hash(css)}'"]
    if script:
        rules.append(f"script-src '{_hash(script)}'")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
