//! Sources: where log files come from, one folder for each provider.

pub mod openai;
