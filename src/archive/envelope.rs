//! The DSSE envelope: a payload, what it is, and signatures over both.
//!
//! What is signed is the pre-authentication encoding, so a payload of one type never passes for another.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, SigningKey};

/// What the payload of a manifest is.
pub const MANIFEST_TYPE: &str = "application/vnd.custodex.manifest+json";

/// An envelope as it is written.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Deserialize, Serialize)]
struct WrittenSignature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

/// An envelope that was read; nothing of it is trusted before [`Envelope::signer`] names a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Key ids, as hints, and signatures.
    pub signatures: Vec<(String, Vec<u8>)>,
}

/// The envelope of a payload, signed; the same payload and key give the same bytes.
pub fn seal(payload_type: &str, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let sig = BASE64_STANDARD.encode(key.sign(&pae(payload_type, payload)));
    let written = Written {
        payload_type: payload_type.to_owned(),
        payload: BASE64_STANDARD.encode(payload),
        signatures: vec![WrittenSignature { keyid: key.public().id(), sig }],
    };
    let mut bytes = serde_json::to_vec(&written).expect("texts are always JSON");
    bytes.push(b'\n');
    bytes
}

impl Envelope {
    /// Reads an envelope; none when it is no such thing.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let decode = |text: &str| BASE64_STANDARD.decode(text).ok();
        let signatures = written
            .signatures
            .into_iter()
            .map(|one| Some((one.keyid, decode(&one.sig)?)))
            .collect::<Option<_>>()?;
        Some(Self { payload: decode(&written.payload)?, payload_type: written.payload_type, signatures })
    }

    /// The first of these keys that made one of the signatures.
    pub fn signer<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> Option<&'a PublicKey> {
        let signed = pae(&self.payload_type, &self.payload);
        keys.into_iter()
            .find(|key| self.signatures.iter().any(|(_, signature)| key.verifies(&signed, signature)))
    }
}

/// The pre-authentication encoding of DSSE, version 1.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_that_of_the_standard() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn an_envelope_is_taken_as_it_was_sealed_only() {
        let (key, _) = SigningKey::generate().unwrap();
        let (other, _) = SigningKey::generate().unwrap();
        let bytes = seal("t", b"payload", &key);
        assert_eq!(bytes, seal("t", b"payload", &key));
        let envelope = Envelope::read(&bytes).unwrap();
        assert_eq!((envelope.payload.as_slice(), envelope.payload_type.as_str()), (&b"payload"[..], "t"));
        assert_eq!(envelope.signatures[0].0, key.public().id());
        assert_eq!(envelope.signer([other.public(), key.public()]), Some(key.public()));
        assert_eq!(envelope.signer([other.public()]), None);
        let changed = |change: fn(&mut Envelope)| {
            let mut envelope = envelope.clone();
            change(&mut envelope);
            envelope.signer([key.public()]).is_none()
        };
        assert!(changed(|it| it.payload[0] ^= 1));
        assert!(changed(|it| it.payload_type.push('x')));
        assert!(changed(|it| it.signatures[0].1[5] ^= 1));
        assert!(changed(|it| it.signatures.clear()));
        for wrong in [&b"{}"[..], b"", br#"{"payloadType":"t","payload":"*","signatures":[]}"#] {
            assert_eq!(Envelope::read(wrong), None);
        }
    }
}
