"""A dataset described for people: README.md in Markdown, with the front matter of YAML that dataset hubs read."""

import json
from pathlib import Path
from typing import Any

from stores.croissant import licence_address
from stores.dataset_facts import DatasetFacts

__all__ = ["card_text"]

TEMPLATE = "dataset_card.md.j2"
SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
LONG_TEXT = 400  # letters of an attribute that the card shows in a table; longer ones are JSON blocks


def card_text(facts: DatasetFacts) -> str:
    """The content of README.md."""
    import jinja2
    import yaml

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((Path(__file__).parent / TEMPLATE).read_text())
    front_matter = yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)
    shown = {name: _parsed(value) for name, value in sorted(facts.attributes.items())}
    plain = {name: value for name, value in shown.items() if not isinstance(value, dict | list)}
    nested = {name: json.dumps(value, indent=1) for name, value in shown.items() if isinstance(value, dict | list)}
    return template.render(
        facts=facts,
        publication=facts.publication,
        front_matter=front_matter,
        licence_address=licence_address(facts.licence),
        plain=plain,
        nested=nested,
        split_columns=[c for c in facts.columns if "split by it" in c.description],
        missing=[c for c in facts.columns if c.n_missing],
        cell=_cell,
    )


def _front_matter(facts: DatasetFacts) -> dict[str, Any]:
    spdx = not facts.licence.startswith("http")
    n = facts.n_samples
    size = next((name for name, limit in SIZES if n < limit), "n>10M")
    return {
        "license": facts.licence.lower() if spdx else "other",
        **({} if spdx else {"license_link": facts.licence}),
        "pretty_name": facts.publication.name,
        "tags": ["physics", "simulation", facts.schema.name],
        "size_categories": [size],
        "configs": [{"config_name": f"{facts.sample_dim}s", "data_files": f"{facts.sample_dim}s.csv"}],
    }


def _parsed(value: Any) -> Any:  # noqa: ANN401 - an attribute: a number, or a text that may be JSON
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _cell(text: object) -> str:
    """For a table of Markdown."""
    return str(text).replace("|", "\\|").replace("\n", " ")
