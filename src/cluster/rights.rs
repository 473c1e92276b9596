//! Which rule of RBAC is missing, from the words in which a server forbids.

use serde_json::Value;

/// The longest name of a kind, group, verb or namespace that is repeated.
const NAME: usize = 253;

/// What to add, and where: `None` when the words are not those of an authorizer, or what they ask for would be too much.
pub(super) fn missing(said: &Value) -> Option<String> {
    let message = said.pointer("/message")?.as_str()?;
    // `configmaps "x" is forbidden: User "u" cannot patch resource "configmaps" in API group "" in the namespace "n"`
    let (_, asked) = message.split_once(" is forbidden: User ")?;
    let (_, asked) = asked.split_once(" cannot ")?;
    let (verb, asked) = asked.split_once(" resource \"")?;
    let (resource, asked) = asked.split_once("\" in API group \"")?;
    let (group, place) = asked.split_once("\" ")?;
    let place = if place.starts_with("at the cluster scope") {
        "a ClusterRole".to_owned()
    } else {
        let (namespace, _) = place.strip_prefix("in the namespace \"")?.split_once('"')?;
        is_name(namespace).then(|| format!("a Role in {namespace}"))?
    };
    // Without a name, it would be leave to be anybody.
    let only = match verb {
        "impersonate" => {
            let name = said.pointer("/details/name")?.as_str().filter(|name| is_name(name))?;
            format!(", resourceNames: [\"{name}\"]")
        }
        _ => String::new(),
    };
    let is_known = is_name(verb) && is_name(resource) && (group.is_empty() || is_name(group));
    is_known.then(|| {
        let rule = format!("{{ apiGroups: [\"{group}\"], resources: [\"{resource}\"]{only}, verbs: [\"{verb}\"] }}");
        format!("{place} needs {rule}")
    })
}

/// Nothing that could end a string of YAML, or be taken for words of ours.
fn is_name(text: &str) -> bool {
    (1..=NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:/*".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(message: &str, name: &str) -> String {
        missing(&json!({ "message": message, "details": { "name": name } })).unwrap_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn the_rule_that_is_missing_is_written_as_it_is_to_be_added() {
        insta::assert_snapshot!(
            [
                check(r#"configmaps "a" is forbidden: User "u" cannot patch resource "configmaps" in API group "" in the namespace "shop""#, "a"),
                check(r#"deployments.apps is forbidden: User "u" cannot list resource "deployments" in API group "apps" in the namespace "shop": RBAC: role.rbac.authorization.k8s.io "x" not found"#, ""),
                check(r#"pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "shop""#, "p"),
                check(r#"namespaces "kube-system" is forbidden: User "u" cannot get resource "namespaces" in API group "" at the cluster scope"#, "kube-system"),
                check(r#"serviceaccounts "deployer" is forbidden: User "u" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop""#, "deployer"),
            ]
            .join("\n"),
            @r#"
        a Role in shop needs { apiGroups: [""], resources: ["configmaps"], verbs: ["patch"] }
        a Role in shop needs { apiGroups: ["apps"], resources: ["deployments"], verbs: ["list"] }
        a Role in shop needs { apiGroups: [""], resources: ["pods/log"], verbs: ["get"] }
        a ClusterRole needs { apiGroups: [""], resources: ["namespaces"], verbs: ["get"] }
        a Role in shop needs { apiGroups: [""], resources: ["serviceaccounts"], resourceNames: ["deployer"], verbs: ["impersonate"] }
        "#
        );
    }

    #[test]
    fn nothing_is_made_of_other_words_and_nobody_is_told_to_let_us_be_anybody() {
        for (message, name) in [
            (r#"pods "p" is forbidden: violates PodSecurity "restricted:latest""#, "p"),
            (r#"x is forbidden: User "u" cannot get resource "a\"]}, {" in API group "" at the cluster scope"#, "x"),
            (r#"x is forbidden: User "u" cannot get resource "secrets" in API group "" in the namespace "a b""#, "x"),
            (
                r#"users is forbidden: User "u" cannot impersonate resource "users" in API group "" at the cluster scope"#,
                "",
            ),
            (r#"forbidden: User "u" cannot get path "/metrics""#, ""),
        ] {
            assert_eq!(check(message, name), "nothing", "{message}");
        }
    }
}
