"""The shells around DSPy: programs, their models, and the text they stream."""
