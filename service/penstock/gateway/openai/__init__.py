"""How does a program look to those who speak OpenAI's API? As a model."""
