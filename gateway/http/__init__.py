"""HTTP in, HTTP out: the ASGI application, who may call, and what each path answers."""
