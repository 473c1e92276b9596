//! What the repository of the stories holds.

/// One environment, which Lee has to approve.
pub(super) const RULES: &str = "\
version: 1
environments:
  production:
    path: deploy
    cluster: test
    namespace: '{ns}'
    consent: { approvals: [{ count: 1, users: [lee] }] }
";

/// Where the one config map is.
pub(super) const WEB: &str = "deploy/web.yaml";

/// A config map with one value: an object that is well as soon as it is there.
pub(super) fn settings(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name} }}\ndata: {{ value: '{value}' }}\n")
}
