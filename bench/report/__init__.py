"""Everything that all benches share: goals, tables, pages, pictures, and the command line.

A bench supplies the rows, the columns and the sentences of its page. Nothing here knows which
bench it serves, and nothing here measures a model or a router.
"""
