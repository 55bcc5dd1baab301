"""The threads that carry out what the engine decides."""
