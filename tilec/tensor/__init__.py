"""The tensor IR: what is computed, with index domains, type rules and the reference evaluator."""
