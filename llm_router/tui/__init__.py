"""The terminal, `llm-router chat`: chats with the router, and a live board of it.

It is a client of the HTTP API like the other commands and holds no state of its own: chats are
stored by the API, and the board reads what the console reads. Only what is drawn and typed belongs
here. Texts of models and of other people are drawn without the characters that steer a terminal.
"""
