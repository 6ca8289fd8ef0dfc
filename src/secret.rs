use secrecy::SecretString;
#[derive(Clone, Debug)]
pub struct Secret;
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct SecretError;
impl Secret {
    pub fn read(&self) -> Result<SecretString, SecretError> {
        Err(SecretError)
    }
}
