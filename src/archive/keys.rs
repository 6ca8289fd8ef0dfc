//! Ed25519 keys: the one that signs manifests, and those that manifests are checked with.
//!
//! A public key is its SPKI DER, and its id the first 16 hex digits of that one's SHA-256. A signing key is
//! PKCS #8, as PEM or as the base64 of its DER on one line. Never shows a signing key.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::digest::{hex, sha256};

/// What an Ed25519 key begins with in SPKI DER.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Text that is no key of the kind that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Of a public key.
    #[error("it is no Ed25519 public key in PEM (SPKI)")]
    Public,
    /// Of a signing key.
    #[error("it is no Ed25519 private key in PKCS #8, as PEM or as base64 on one line")]
    Signing,
    /// The system gives no randomness.
    #[error("the system made no key")]
    Made,
}

/// Checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads SPKI PEM.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = unarmored(text).ok_or(KeyError::Public)?;
        let key = der.strip_prefix(&SPKI).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(KeyError::Public)
    }

    /// SPKI DER.
    pub fn der(&self) -> Vec<u8> {
        [&SPKI[..], &self.0].concat()
    }

    /// SPKI PEM.
    pub fn pem(&self) -> String {
        armored("PUBLIC KEY", &self.der())
    }

    /// What manifests call it.
    pub fn id(&self) -> String {
        hex(&sha256(&self.der()))[..16].to_owned()
    }

    /// Whether a signature of these bytes was made with the key's other half.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

/// Signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public.id()).finish()
    }
}

impl SigningKey {
    /// A new key, and its PKCS #8 PEM.
    pub fn generate() -> Result<(Self, String), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Made)?;
        let document = pair.to_pkcs8v1().map_err(|_| KeyError::Made)?;
        let pem = armored("PRIVATE KEY", document.as_ref());
        Ok((Self::of(pair)?, pem))
    }

    /// Reads PKCS #8.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let der = unarmored(text).ok_or(KeyError::Signing)?;
        Self::of(Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::Signing)?)
    }

    fn of(pair: Ed25519KeyPair) -> Result<Self, KeyError> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Signing)?;
        Ok(Self { pair, public: PublicKey(public) })
    }

    /// Its other half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

fn armored(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The DER of PEM, or of bare base64.
fn unarmored(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    BASE64_STANDARD.decode(lines.collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410, section 10.
    const SIGNING: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_are_those_of_the_standard() {
        let key = SigningKey::parse(SIGNING).unwrap();
        assert_eq!(key.public().pem(), PUBLIC);
        assert_eq!(PublicKey::from_pem(PUBLIC).as_ref(), Ok(key.public()));
        let bare = SIGNING.lines().nth(1).unwrap();
        assert_eq!(SigningKey::parse(bare).unwrap().public(), key.public());
        assert_eq!(key.public().id(), hex(&sha256(&key.public().der()))[..16]);
        for wrong in ["", "x", PUBLIC] {
            assert_eq!(SigningKey::parse(wrong).err(), Some(KeyError::Signing));
        }
        assert_eq!(PublicKey::from_pem(SIGNING), Err(KeyError::Public));
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_text() {
        let (key, pem) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::parse(&pem).unwrap().public(), key.public());
        let signature = key.sign(b"text");
        assert!(key.public().verifies(b"text", &signature));
        assert!(!key.public().verifies(b"texT", &signature));
        assert!(!other.public().verifies(b"text", &signature));
        assert!(!key.public().verifies(b"text", &signature[1..]));
        assert!(!format!("{key:?}").contains(pem.lines().nth(1).unwrap()));
    }
}
