//! A complete store in memory.

/// placeholder
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {}
