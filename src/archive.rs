//! Archives: what log files are called there, how they are packed, and what proves that they are all there.
//!
//! Names are pure functions of a log file, so that whoever archives it, however often, means the same
//! object. The layout is public: other programs read archives by it, and it never changes for `v1`. A chain of
//! signed manifests says what lies there; [`verify`] holds an archive against it. Never touches a disk or a
//! network: what is read comes through a trait.

mod bundle;
mod calendar;
mod envelope;
pub mod find;
mod inspect;
mod keys;
mod layout;
mod manifest;
pub mod merkle;
mod overview;
mod packing;
mod prove;
pub mod verify;

pub use bundle::{Checked, Contents, Files, LIST, Listed, PROOFS, SEAL, check as check_case};
pub use calendar::Calendar;
pub use envelope::{Envelope, MANIFEST_TYPE, seal};
pub use inspect::{Inspected, Measured, inspect};
pub use keys::{KeyError, PublicKey, SigningKey};
pub use layout::{LogFile, Named, Tree, key};
pub use manifest::{
    Covered, Hash, Hole, MANIFEST_VERSION, MANIFESTS, Manifest, NextRecord, Pending, SealedFile,
    SinkPosition, StreamCoverage, chain_folder, manifest_key, public_key_key,
};
pub use overview::{Overview, overview};
pub use packing::{Packer, Packing, Unpacked, pack, unpack};
pub use prove::{Climb, Proof, Proved, Wanted, Within, climbs, record_bytes};
