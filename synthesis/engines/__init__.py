"""The kinds of engine, one a file: two dialects (tgi, openai), wrappers (journal, retry), a test double (scripted).

Nothing is imported here, so that `synthesis.engines.scripted` costs no aiohttp. Wrappers compose from the inside out:
`Journal(Retrying(Bounded(Tgi(url))))` holds no permit while it waits for the next try, and journals what came at last.
"""
