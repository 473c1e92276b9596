//! Sealing what may hold Secrets before it is stored: AES-256-GCM under a key derived from the server's, which is never
//! in the database.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Derives a key for one purpose from the server's key, so that no two purposes share one.
pub fn derive(server_key: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(server_key).expect("HMAC takes a key of any length");
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Opens and closes sealed content.
pub struct Seal {
    cipher: LessSafeKey,
    /// Nonces lie open beside what they seal: without a key, one would confirm a guess of a Secret.
    nonces: [u8; 32],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seal(…)")
    }
}

/// Sealed content that this key does not open: another server key, or altered bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a stored object does not open under this server's key: restore `server.key` from the backup the database is of"
)]
pub struct Unopened;

impl Seal {
    /// The seal of an installation.
    pub fn new(server_key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &derive(server_key, "bascule stored objects 1"));
        let cipher = LessSafeKey::new(key.expect("the derived key is 32 bytes, as AES-256 wants"));
        Self { cipher, nonces: derive(server_key, "bascule stored objects 1 nonces") }
    }

    /// Closes content. `name` is what it is stored under: content moved to another name does not open. The nonce comes
    /// first; it is derived from name and content under a key, and so as unique as they are.
    pub fn close(&self, name: &[u8], content: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.nonces).expect("HMAC takes a key of any length");
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name);
        mac.update(content);
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        let nonce: [u8; NONCE_LEN] = digest[..NONCE_LEN].try_into().expect("a digest is longer than a nonce");
        let mut sealed = content.to_vec();
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(name), &mut sealed)
            .expect("an object is far below the 64 GiB that GCM takes");
        [&nonce[..], &sealed].concat()
    }

    /// Opens it again.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(&self, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (nonce, content) = sealed.split_at_checked(NONCE_LEN).ok_or(Unopened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopened)?;
        let mut content = content.to_vec();
        let opened = self.cipher.open_in_place(nonce, Aad::from(name), &mut content).map_err(|_| Unopened)?;
        Ok(opened.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_content_opens_under_its_own_key_and_name_only() {
        let seal = Seal::new(&[1; 32]);
        let sealed = seal.close(b"name", b"password: hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert_eq!(seal.open(b"name", &sealed).unwrap(), b"password: hunter2");
        assert_eq!(seal.open(b"other", &sealed), Err(Unopened));
        assert_eq!(Seal::new(&[2; 32]).open(b"name", &sealed), Err(Unopened));
        let mut altered = sealed.clone();
        altered[20] ^= 1;
        assert_eq!(seal.open(b"name", &altered), Err(Unopened));
        assert_eq!(seal.open(b"name", &sealed[..5]), Err(Unopened));
    }
}
