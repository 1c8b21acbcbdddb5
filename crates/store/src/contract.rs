//! The promises of a store, one test function each.
