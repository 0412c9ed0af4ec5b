"""The kinds of engine, one a file: two dialects (tgi, openai), wrappers around them, a test double (scripted).

Nothing is imported here, so that `synthesis.engines.scripted` costs no aiohttp. Wrappers compose from the inside out:
`Journal(Retrying(Pool([Admitted(Tgi(a)), Admitted(Tgi(b))])))`. Each deals with one kind of trouble: `Admitted` with
refusals, `Pool` with endpoints that are gone, `Retrying` with faults, and `Journal` keeps what came at last.
"""
