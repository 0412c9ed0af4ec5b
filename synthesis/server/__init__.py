"""The embedded text-generation server: TGI's protocol over a small model on the CPU.

    python -m synthesis.server --model DIR

One request walks through these rooms:

    body       bytes to JSON, or the extractor's plain-text error
    protocol   JSON to a request with names and types; results back to JSON
    template   chat messages to a prompt
    validation limits, in the order in which TGI tests them; tokens, grammar, seed
    service    permits, best-of, the bridge between the event loop and the decoding thread
    scheduler  continuous batching: who is prefilled, who takes the next step, who leaves
    model      the Llama forward pass over the key-value cache (cache) and its reused prompts (prefix)
    sequence   one running generation: sampling, grammar, text, stopping
    native, chat, completions, stream, app   the routes

The same request with the same seed gives the same bytes alone, in any batch, and with or without a reused prefix;
`model` says how. Nothing here imports torch before it is needed.
"""
