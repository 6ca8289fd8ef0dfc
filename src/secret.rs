//! Secrets: where one lies, and reading it from there.
//!
//! Owns [`Secret`], a reference. The value is read each time it is asked for, so that a replaced one is
//! found, and is never kept here, shown, or written anywhere.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use secrecy::SecretString;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// No secret is larger than this.
const MOST_BYTES: u64 = 64 * 1024;
/// Where systemd says it put credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const FORMS: &str = "{ env = \"NAME\" }, { file = \"/path\" } or { credential = \"name\" }";

/// A way to look up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process; nothing else reads it.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where a secret lies.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Env(String),
    File(PathBuf),
    Credential(String),
}

/// A secret that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {hint}")]
pub struct SecretError {
    /// Where it was looked for and what was found.
    pub problem: String,
    /// The next step.
    pub hint: String,
}

impl SecretError {
    fn new(problem: String, hint: impl Into<String>) -> Self {
        Self { problem, hint: hint.into() }
    }
}

impl Secret {
    /// The secret as it is now, without white space around it.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        self.read_from(&environment)
    }

    /// The same with another environment.
    pub fn read_from(&self, env: Environment<'_>) -> Result<SecretString, SecretError> {
        let text = match &self.0 {
            Place::Env(name) => env(name).ok_or_else(|| {
                let hint = format!("set {name} for custodex; under systemd, credential = \"name\" is safer");
                SecretError::new(format!("{self} is not set"), hint)
            })?,
            Place::File(path) => self.read_file(path)?,
            Place::Credential(name) => {
                self.read_file(&Path::new(&credentials(self, name, env)?).join(name))?
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::new(
                format!("{self} is empty"),
                "put the secret there, and nothing else",
            ));
        }
        if text.contains(char::is_control) {
            let problem = format!("{self} holds more than one line, or control characters");
            return Err(SecretError::new(problem, "put the secret there on one line, and nothing else"));
        }
        Ok(text.into())
    }

    /// The file, when other users may read it as well. Credentials are the service manager's to guard.
    pub fn shown_to_others(&self) -> Option<&Path> {
        let Place::File(path) = &self.0 else { return None };
        let mode = std::fs::metadata(path).ok()?.permissions().mode();
        (mode & 0o044 != 0).then_some(path)
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        let text = read_text(path, MOST_BYTES).map_err(|error| {
            let place = match self.0 {
                Place::Credential(_) => format!("{self} ({})", path.display()),
                _ => self.to_string(),
            };
            let hint = match (error.kind(), &self.0) {
                (io::ErrorKind::NotFound, Place::Credential(name)) => {
                    format!("add LoadCredential={name}:/path/to/it to the systemd unit")
                }
                (io::ErrorKind::NotFound, _) => "put the secret there, readable by custodex only".to_owned(),
                (io::ErrorKind::PermissionDenied, _) => {
                    "let the user that custodex runs as read it: chown or chmod".to_owned()
                }
                _ => "name a text file that holds the secret and nothing else".to_owned(),
            };
            SecretError::new(format!("{place} {}", why(&error)), hint)
        })?;
        text.ok_or_else(|| {
            let problem = format!("{self} is larger than any secret");
            SecretError::new(problem, "name a text file that holds the secret and nothing else")
        })
    }
}

fn credentials(secret: &Secret, name: &str, env: Environment<'_>) -> Result<String, SecretError> {
    env(CREDENTIALS).filter(|folder| !folder.is_empty()).ok_or_else(|| {
        let hint = format!(
            "run custodex as a systemd service with LoadCredential={name}:/path/to/it, or set {CREDENTIALS} \
             to the folder that holds it"
        );
        SecretError::new(format!("{secret} cannot be looked up: {CREDENTIALS} is not set"), hint)
    })
}

/// A text file; `None` if it has more than `most` bytes.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Ok(None);
    }
    String::from_utf8(bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// What keeps a file from being read, to follow its name.
pub(crate) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        io::ErrorKind::InvalidData => "is not text in UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Env(name) => write!(f, "environment variable {name}"),
            Place::File(path) => write!(f, "file {}", path.display()),
            Place::Credential(name) => write!(f, "credential {name}"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    env: Option<String>,
    file: Option<PathBuf>,
    credential: Option<String>,
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table that says where the secret lies")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(format!("a secret is never written into this file\nsay where it lies: {FORMS}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        match Keys::deserialize(MapAccessDeserializer::new(map))? {
            Keys { env: Some(name), file: None, credential: None } if is_variable(&name) => {
                Ok(Secret(Place::Env(name)))
            }
            Keys { env: Some(_), file: None, credential: None } => Err(A::Error::custom(
                "not the name of an environment variable\nwrite the variable's name, not its value",
            )),
            Keys { env: None, file: Some(path), credential: None } if !path.as_os_str().is_empty() => {
                Ok(Secret(Place::File(path)))
            }
            Keys { env: None, file: None, credential: Some(name) } if is_file_name(&name) => {
                Ok(Secret(Place::Credential(name)))
            }
            Keys { env: None, file: None, credential: Some(_) } => Err(A::Error::custom(
                "not the name of a credential\nwrite the name that LoadCredential= gives it, not a path",
            )),
            Keys { env: None, credential: None, .. } => Err(A::Error::custom(format!(
                "this does not say where the secret lies\nwrite one of {FORMS}"
            ))),
            _ => Err(A::Error::custom(format!(
                "this names more than one place for the secret\nkeep one of {FORMS}"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Whether a text can be the name of a variable; keys of providers hold hyphens and cannot.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::deserialize(toml::de::ValueDeserializer::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn secrets_are_read_where_they_lie_and_trimmed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "sk-file\n").unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let env = |name: &str| match name {
            "KEY" => Some(" sk-env \r\n".to_owned()),
            "BLANK" => Some("\n".to_owned()),
            "LINES" => Some("one\ntwo".to_owned()),
            CREDENTIALS => Some(path.clone()),
            _ => None,
        };
        let read = |text: &str| secret(text).read_from(&env).map(|found| found.expose_secret().to_owned());
        assert_eq!(read("{ env = 'KEY' }").unwrap(), "sk-env");
        assert_eq!(read(&format!("{{ file = '{path}/key' }}")).unwrap(), "sk-file");
        assert_eq!(read("{ credential = 'key' }").unwrap(), "sk-file");
        for wrong in ["{ env = 'BLANK' }", "{ env = 'LINES' }", "{ env = 'NONE' }", "{ file = '/dev/zero' }"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "sk-file").unwrap();
        let key = secret(&format!("{{ file = {path:?} }}"));
        for (mode, shown) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(key.shown_to_others(), shown.then_some(path.as_path()), "{mode:o}");
        }
        assert_eq!(secret("{ env = 'KEY' }").shown_to_others(), None);
    }

    #[test]
    fn errors_and_debug_show_places_only() {
        let error = secret("{ env = 'API_KEY' }").read_from(&|_| None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable API_KEY is not set; set API_KEY for custodex; under systemd, \
             credential = \"name\" is safer"
        );
        assert_eq!(format!("{:?}", secret("{ file = '/run/key' }")), "Secret(file /run/key)");
        assert_eq!(why(&io::ErrorKind::PermissionDenied.into()), "may not be read by this user");
    }
}
