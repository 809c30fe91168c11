"""Found equations as formulas of the page: inputs in the symbols of the field, four significant digits."""

from collections.abc import Mapping
from typing import Any

import sympy as sp
from markupsafe import Markup

from pipeline.report.drawing import formula_svg

__all__ = ["formula_markup"]


def formula_markup(
    text: str, *, name: str, physical: Mapping[str, Any], symbol_latex: Mapping[Any, str], left: str = ""
) -> Markup:
    """The equation drawn, behind `left`; as plain text where it cannot be.

    `physical` maps names in the equation to expressions, `symbol_latex` symbols in these to LaTeX; `name` prefixes ids.
    """
    try:
        expression = sp.sympify(text, locals=dict(physical))
        rounded = expression.xreplace({f: sp.Float(f, 4) for f in expression.atoms(sp.Float)})
        latex = sp.latex(rounded, symbol_names=dict(symbol_latex)).replace(r"\frac", r"\dfrac")
        return formula_svg(left + latex, name=name)
    except (sp.SympifyError, ValueError, TypeError, AttributeError):
        return Markup("<code>{}</code>").format(text)
