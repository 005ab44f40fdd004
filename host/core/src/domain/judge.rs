//! What follows from an outcome: the connector's word, the channel's rules and the gate's evidence, made one verdict.
