//! The ledger, driven: ordering, durable state and the validator process.
