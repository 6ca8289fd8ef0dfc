//! Archives: what log files are called there, and how they are packed.
//!
//! Names are pure functions of a log file, so that whoever archives it, however often, means the same
//! object. The layout is public: other programs read archives by it, and it never changes for `v1`.
//! Never touches a disk or a network.

mod layout;
mod packing;

pub use layout::{LogFile, Tree, key};
pub use packing::{Packer, Packing, Unpacked, pack, unpack};
