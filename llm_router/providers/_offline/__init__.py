"""The offline responder's small talk: `talk.toml` holds the words, the modules here find them."""
