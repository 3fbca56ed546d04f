"""The documentation site: made from docs/ and every page outside it that a page links to.

`python -m docsite build` writes build/site, `python -m docsite serve` shows it and follows changes.
See docs/adr/040-a-site-from-the-same-pages.md.
"""
