"""`${{ }}`: scan, parse (with the grammar of Jinja2), references, evaluate. No I/O, no clock."""
