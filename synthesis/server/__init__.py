"""The embedded text-generation server: TGI's protocol over any causal model, on the CPU or one GPU.

    python -m synthesis.server --model DIR

One request walks through these rooms:

    body       bytes to JSON, or the extractor's plain-text error
    protocol   JSON to a request with names and types; results back to JSON
    template   chat messages to a prompt; tools, forced JSON told as calls of functions
    validation limits, in the order in which TGI tests them; tokens, grammar, seed
    grammar    masks for JSON and regular expressions; what explodes does so in a process apart (rehearsal)
    service    permits, best-of, the bridge between the event loop and the decoding thread
    scheduler  continuous batching: who is prefilled, who takes the next step, who leaves
    forward    what the scheduler asks of a model; prompts that were read are reused (prefix)
    model      the Llama forward pass on the CPU over its key-value cache (cache)
    general, alone  every other model, and every one on a GPU, through transformers: batched where a trial at the start
               (trial) finds this exact, else one sequence at a time
    adapters   LoRA adapters beside the base; lowrank puts them into the models of transformers
    sequence   one running generation: sampling, grammar, text, stopping
    native, chat, completions, stream, app   the routes; description tells them as an OpenAPI document

The same request with the same seed gives the same bytes alone, in any batch, and with or without a reused prefix;
`model` and `general` say how. Nothing here imports torch before it is needed.
"""
