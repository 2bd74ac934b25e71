"""The example of https://www.w3.org/TR/trace-context/: a trace, a span of it, both as a header."""

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01".encode()
