"""Model servers that several benches use, each in a process of its own."""
