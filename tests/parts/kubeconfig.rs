//! The files that a control plane is given and gives.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

/// A kubeconfig of one cluster and one user.
pub(super) fn kubeconfig(url: &str, ca: &str, user: &str, token: &str) -> String {
    let ca = BASE64.encode(ca);
    // A user's name may hold what YAML would read otherwise; its strings are JSON's, too.
    let user = serde_json::Value::from(user);
    format!(
        "apiVersion: v1
kind: Config
current-context: parts
clusters:
- name: parts
  cluster:
    server: {url}
    certificate-authority-data: {ca}
contexts:
- name: parts
  context:
    cluster: parts
    user: {user}
users:
- name: {user}
  user:
    token: {token}
"
    )
}

/// A new private key to sign service account tokens with: a P-256 key as RFC 5915 writes it, where the public half may
/// be left out.
pub(super) fn signing_key() -> String {
    const BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    const CURVE: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let mut number = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    // Below the order of the curve, which begins with 32 ones.
    number[0] &= 0x7f;
    let key = BASE64.encode([&BEFORE[..], &number, &CURVE].concat());
    format!("-----BEGIN EC PRIVATE KEY-----\n{key}\n-----END EC PRIVATE KEY-----\n")
}
