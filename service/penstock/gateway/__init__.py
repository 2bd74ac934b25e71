"""HTTP, SSE, WebSocket and a console in front of the topics, which hold the truth: a gateway has no
answer of its own, any replica serves any stream, and a restart loses nothing.
"""
