"""Making models: from one type to another, into shards and back, and whether a model is whole."""
