//! The key that signs manifests: given as a secret, or made at the first start.
//!
//! A made key lies in the data folder, for its owner only, and is durable before anything is signed with it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use crate::archive::{KeyError, PublicKey, SigningKey};
use crate::config::Config;
use crate::disk::{self, Disk, PRIVATE_FOLDER};
use crate::secret::SecretError;

/// Name of the file.
const FILE: &str = "signing.pem";
/// No key is larger.
const MOST_BYTES: u64 = 64 * 1024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The secret cannot be read.
    #[error("the signing key cannot be read: {0}")]
    Secret(#[from] SecretError),
    /// The secret is no key.
    #[error(
        "the secret of [custody] signing_key cannot be used: {0}; make one with \
         `openssl genpkey -algorithm ed25519 -outform DER | base64 -w0`"
    )]
    Given(KeyError),
    /// The file is no key.
    #[error(
        "{path} cannot be used: {source}; put the right file back, a new key breaks what others have pinned"
    )]
    Kept {
        /// Where.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The file cannot be read or written.
    #[error("the signing key {path} cannot be used: {source}; let custodex read and write there")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The key, made if there is none yet.
pub fn key(disk: &dyn Disk, config: &Config, folder: &Path) -> Result<SigningKey, SigningError> {
    if let Some(key) = known(disk, config, folder)? {
        return Ok(key);
    }
    let path = folder.join(FILE);
    let wrap = |source| SigningError::Disk { path: path.clone(), source };
    let (key, pem) =
        SigningKey::generate().map_err(|source| SigningError::Kept { path: path.clone(), source })?;
    disk.create_folder(folder, PRIVATE_FOLDER).map_err(wrap)?;
    disk.sync_folder(folder.parent().unwrap_or(Path::new("."))).map_err(wrap)?;
    disk::replace(disk, &path, pem.as_bytes()).map_err(wrap)?;
    Ok(key)
}

/// What is published of the key, if there is one already.
pub fn public(disk: &dyn Disk, config: &Config, folder: &Path) -> Result<Option<PublicKey>, SigningError> {
    Ok(known(disk, config, folder)?.map(|key| key.public().clone()))
}

/// The key, if there is one already.
pub fn known(disk: &dyn Disk, config: &Config, folder: &Path) -> Result<Option<SigningKey>, SigningError> {
    if let Some(secret) = &config.signing_key {
        let text = secret.read()?;
        return SigningKey::parse(text.expose_secret()).map(Some).map_err(SigningError::Given);
    }
    let path = folder.join(FILE);
    let read = || {
        if disk.length(&path)?.is_none() {
            return Ok(None);
        }
        let mut text = String::new();
        disk.open(&path)?.take(MOST_BYTES).read_to_string(&mut text)?;
        Ok(Some(text))
    };
    let text = read().map_err(|source| SigningError::Disk { path: path.clone(), source })?;
    let parse = |text: String| SigningKey::parse(&text);
    text.map(parse).transpose().map_err(|source| SigningError::Kept { path, source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::Secrets;
    use crate::disk::RealDisk;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[sources.s]\ntype = 'compliance_logs'\nworkspace_id = '11111111-2222-4333-8444-555555555555'\n\
                    api_key = { env = 'X' }\n[sinks.o]\ntype = 'stdout'\n";
        let load = |more: &str| {
            Config::parse(&format!("{text}{more}"), Path::new("x"), Secrets::Unread, &|_| None).unwrap()
        };
        let (config, keys) = (load(""), folder.path().join("keys"));
        assert_eq!(public(&RealDisk, &config, &keys).unwrap(), None);
        let made = key(&RealDisk, &config, &keys).unwrap();
        let access = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((access(&keys), access(&keys.join(FILE))), (0o700, 0o600));
        assert_eq!(key(&RealDisk, &config, &keys).unwrap().public(), made.public());
        assert_eq!(public(&RealDisk, &config, &keys).unwrap().as_ref(), Some(made.public()));
        let (other, pem) = SigningKey::generate().unwrap();
        let given = folder.path().join("given");
        fs::write(&given, pem.lines().nth(1).unwrap()).unwrap();
        let config = load(&format!("[custody]\nsigning_key = {{ file = {given:?} }}\n"));
        assert_eq!(key(&RealDisk, &config, &keys).unwrap().public(), other.public());
        fs::write(&given, "x").unwrap();
        assert!(matches!(key(&RealDisk, &config, &keys), Err(SigningError::Given(_))));
    }
}
