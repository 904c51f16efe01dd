"""`voxtab serve`: the page, and an API that speaks as OpenAI's and vLLM's do.

    run.py              binds, serves, ends. Read this first
    app.py              which address leads where
    site.py             the built page's files
    access.py           who may ask: Host, Origin, key
    streams.py          the one model and the queue of streams that want it
    transcriptions.py   POST /v1/audio/transcriptions
    uploads.py          a form whose file goes to disk
    realtime.py         /v1/realtime, the session; dialects.py: its events in OpenAI's words and in vLLM's
    live.py             samples that come as they are spoken, through a file on disk
    limits.py           what a client may use; metrics.py: GET /metrics; errors.py: errors as OpenAI's clients read them

The page needs Starlette and uvicorn, which come with Voxtab. The API also needs the extra `serve`.
"""
